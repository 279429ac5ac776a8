"""Distinguish a Ctrl-C, which ends the process, from a `KeyboardInterrupt` that somebody's code raises."""

from __future__ import annotations

import dis
import signal
import threading
from types import CodeType, TracebackType
from typing import Any, cast

__all__ = ("is_ctrl_c",)

_RAISE = dis.opmap["RAISE_VARARGS"]

#: The modules of event loops that turn SIGINT into an exception.
_LOOPS = ("asyncio.runners", "trio._core")


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception is a Ctrl-C of the operator, or a group that holds one.

    The place where it was raised decides. A Ctrl-C is raised by the handler of SIGINT, or by Python between two
    instructions of whatever runs in the main thread; a plugin raises with a `raise` statement.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(is_ctrl_c(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    if not isinstance(error, KeyboardInterrupt) or (place := _innermost(error.__traceback__)) is None:
        return False
    frame, handler = place.tb_frame, signal.getsignal(signal.SIGINT)
    if str(frame.f_globals.get("__name__")).startswith(_LOOPS) or frame.f_code is _code(handler):
        return True
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        return False
    return frame.f_code.co_code[place.tb_lasti] != _RAISE  # the default handler has no frame of its own


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _code(handler: Any) -> CodeType | None:
    """Return the code of a handler, which may be a method or a partial."""
    function = getattr(handler, "func", handler)
    return getattr(getattr(function, "__func__", function), "__code__", None)
