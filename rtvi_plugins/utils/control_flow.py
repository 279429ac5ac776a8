"""Contain the exceptions of plugins. An exception of any class ends only the call that raised it.

The exceptions to this are Ctrl-C of the operator, the cancellation of a task, and the end of a closed generator.
"""

from __future__ import annotations

import dis
import signal
import threading
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, cast

__all__ = ("is_ctrl_c", "reraise_control_flow")

_RAISE = dis.opmap["RAISE_VARARGS"]

#: The modules of event loops that turn SIGINT into an exception.
_LOOPS = ("asyncio.runners", "trio._core")


def reraise_control_flow(error: BaseException, *more: type[BaseException]) -> None:
    """Raise an exception again if it must not be contained, or if it is one of `more`. This includes groups.

    An async caller passes the cancellation class in `more`.
    """
    if is_ctrl_c(error) or _holds(error, more) or (isinstance(error, GeneratorExit) and not _is_raised(error)):
        raise error


def _holds(error: BaseException, classes: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(each, classes) for each in _members(error))


def _members(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of all groups in it. Yield any other exception itself."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(cast("BaseExceptionGroup[BaseException]", each).exceptions)
        else:
            yield each


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception is a Ctrl-C of the operator, or a group that holds one.

    The place where it was raised decides. The handler of SIGINT raises a Ctrl-C, or Python raises it between two
    instructions in the main thread. A plugin raises with a `raise` statement.
    """
    return any(_is_ctrl_c(each) for each in _members(error))


def _is_ctrl_c(error: BaseException) -> bool:
    if not isinstance(error, KeyboardInterrupt) or (place := _innermost(error.__traceback__)) is None:
        return False
    frame, handler = place.tb_frame, signal.getsignal(signal.SIGINT)
    if str(frame.f_globals.get("__name__")).startswith(_LOOPS) or frame.f_code is _code(handler):
        return True
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        return False
    return not _is_raised(error)  # the default handler has no frame of its own


def _is_raised(error: BaseException) -> bool:
    """Return whether a `raise` statement raised the exception, and not a signal."""
    place = _innermost(error.__traceback__)
    return place is not None and place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _code(handler: Any) -> CodeType | None:
    """Return the code of a handler, which may be a method or a partial."""
    function = getattr(handler, "func", handler)
    return getattr(getattr(function, "__func__", function), "__code__", None)
