"""Distinguish a real cancellation from one that a plugin raised by mistake."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import anyio

__all__ = ("cancellation_classes", "clear_stray_cancellation")


def cancellation_classes() -> tuple[type[BaseException], ...]:
    """Return the cancellation class for `reraise_control_flow` if the running task is being cancelled.

    Otherwise return nothing: a cancellation is then a mistake of a plugin.
    """
    return (anyio.get_cancelled_exc_class(),) if anyio.current_effective_deadline() == -math.inf else ()


async def clear_stray_cancellation() -> None:
    """Undo a `cancel()` that a plugin called on the framework's asyncio task in which it ran."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio has no such thing
        return
    if task is not None and task.cancelling() and not cancellation_classes():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while task.cancelling():
            task.uncancel()
