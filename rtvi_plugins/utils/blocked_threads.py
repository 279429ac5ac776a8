"""Find the code that blocks a thread, and its owner."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

__all__ = ("SLOW_IMPORT_SECONDS", "format_stack", "innermost_owner", "stack_of", "suspended_at", "warn_when_slow")

log = logging.getLogger("rtvi_plugins")

#: An import that takes longer than this is logged, in seconds.
SLOW_IMPORT_SECONDS: Final = 5.0
#: The maximum number of calls in a log line, the innermost first.
_CALLS: Final = 6


def stack_of(thread: int) -> list[FrameType]:
    """Return the call stack of a thread, the innermost call first. It is empty if the thread has ended."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
    return list(_callers(frames.get(thread)))


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def format_stack(frames: list[FrameType]) -> str:
    """Return a call stack in one line: `wait() (file.py:3), from open() (file.py:9)`."""
    shown = [each for each in frames if not each.f_code.co_filename.startswith("<frozen importlib")]
    return ", from ".join(_described(each) for each in shown[:_CALLS])


def _described(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_qualname}() ({code.co_filename}:{frame.f_lineno})"


def innermost_owner(frames: list[FrameType], owners: Mapping[str, str]) -> str | None:
    """Return the owner of the innermost call, None if unknown. `owners` maps top-level packages to owners."""
    packages = (str(each.f_globals.get("__name__", "")).partition(".")[0] for each in frames)
    return next((owners[each] for each in packages if each in owners), None)


def suspended_at(manager: Any) -> str:
    """Return the line where a generator-based async context manager waits; empty if unknown."""
    frame = getattr(getattr(manager, "gen", None), "ag_frame", None)
    return _described(frame) if isinstance(frame, FrameType) else ""


@contextmanager
def warn_when_slow(what: str, seconds: float) -> Generator[None]:
    """Log the call stack of this thread once if the block takes longer than `seconds`."""
    thread = threading.get_ident()

    def report() -> None:
        log.warning("%s takes longer than %g s; it is in %s", what, seconds, format_stack(stack_of(thread)))

    timer = threading.Timer(seconds, report)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
