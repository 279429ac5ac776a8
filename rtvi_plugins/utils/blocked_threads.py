"""Find out what holds up a thread: where it stands, and whose code that is."""

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
#: How many calls are listed, the innermost first.
_CALLS: Final = 6


def stack_of(thread: int) -> list[FrameType]:
    """The calls in which a thread is, the innermost first; none if it has ended."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
    return list(_callers(frames.get(thread)))


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def format_stack(frames: list[FrameType]) -> str:
    """Where calls stand, in one line: `wait() (file.py:3), from open() (file.py:9)`."""
    shown = [each for each in frames if not each.f_code.co_filename.startswith("<frozen importlib")]
    return ", from ".join(_described(each) for each in shown[:_CALLS])


def _described(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_qualname}() ({code.co_filename}:{frame.f_lineno})"


def innermost_owner(frames: list[FrameType], owners: Mapping[str, str]) -> str | None:
    """Whose code is innermost, by the top-level packages of `owners`; None if it is nobody's of them."""
    packages = (str(each.f_globals.get("__name__", "")).partition(".")[0] for each in frames)
    return next((owners[each] for each in packages if each in owners), None)


def suspended_at(manager: Any) -> str:
    """Where an async context manager that was made from a generator waits; empty if that is not known."""
    frame = getattr(getattr(manager, "gen", None), "ag_frame", None)
    return _described(frame) if isinstance(frame, FrameType) else ""


@contextmanager
def warn_when_slow(what: str, seconds: float) -> Generator[None]:
    """Log where this thread stands if the block takes longer than this, once."""
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
