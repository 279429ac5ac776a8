"""Parts of error messages: the place of a function, the author's line, shortened text, the error in a group."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

__all__ = (
    "BOT_FILE",
    "authors_line",
    "complaint",
    "rejection",
    "replaced_by",
    "shorten",
    "shorten_middle",
    "unwrap_group",
    "where",
)

#: The folder of the framework, with a separator at its end.
_FRAMEWORK: Final = str(Path(__file__).parents[1]) + os.sep


#: The attribute of a function that was not written in Python: the file that it comes from.
BOT_FILE: Final = "__rtvi_plugins_bot_file__"


def complaint(function: Callable[..., Any], problem: str) -> str:
    """Return a problem with a function after its place. The keys of a bot file have no `=`, as arguments have."""
    if getattr(function, BOT_FILE, None) is None:
        return f"{where(function)} {problem}"
    return f"{where(function)}: {re.sub('^([a-z]+)=', lambda key: key[1], problem)}"


def where(function: Callable[..., Any]) -> str:
    """Return `name() (file:line)` of a function, or the bot file that it comes from."""
    inner = inspect.unwrap(function.func if isinstance(function, partial) else function)
    if (file := getattr(inner, BOT_FILE, None)) is not None:
        return str(file)
    code = getattr(inner, "__code__", None)
    name = getattr(inner, "__qualname__", repr(inner))
    return f"{name}() ({code.co_filename}:{code.co_firstlineno})" if code is not None else f"{name}()"


def replaced_by(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the earlier function of the same file and name that this one replaces, or None. For use in a decorator."""
    inner: Any = inspect.unwrap(function)
    if inner.__qualname__ != inner.__name__:
        return None
    found: Any = inner.__globals__.get(inner.__name__)
    before = getattr(inspect.unwrap(found), "__code__", None) if callable(found) else None
    ours = inner.__code__
    if before is None or before.co_filename != ours.co_filename:
        return None
    # The same line is the same function: its module is imported again.
    return found if before.co_firstlineno != ours.co_firstlineno else None


def authors_line() -> str:
    """Return `file:line` of the innermost call that comes from outside the framework."""
    frame = inspect.currentframe()
    while frame is not None and (frame.f_code.co_filename.startswith((_FRAMEWORK, "<attrs generated"))):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "unknown line"


def shorten(text: str, limit: int = 80) -> str:
    """Cut off the end of a text that is longer than the limit."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def shorten_middle(text: str, limit: int) -> str:
    """Cut out the middle of a text that is longer than the limit. Both ends stay readable."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[1 - limit // 2 :]}"


def rejection(error: ValueError) -> str:
    """Return why a function of an author rejects a value, in the words of its exception if they can be shown."""
    try:
        return str(error.args[0] if error.args else error)
    except Exception:
        return "the reason has no text"


def unwrap_group(error: BaseException) -> BaseException:
    """Return the only exception of a group, as task groups raise it. Return any other exception itself."""
    while isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        if len(inner) != 1:
            break
        error = inner[0]
    return cast(BaseException, error)
