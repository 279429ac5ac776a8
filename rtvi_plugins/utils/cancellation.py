"""Tell a cancellation that was asked for from one that a plugin made up."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import anyio

__all__ = ("cancellation_classes", "clear_stray_cancellation")


def cancellation_classes() -> tuple[type[BaseException], ...]:
    """Return the class of cancellations where the running task is being cancelled, for `reraise_control_flow`.

    Where it is not, a cancellation that is raised is a plugin's own mistake, and nothing is returned.
    """
    return (anyio.get_cancelled_exc_class(),) if anyio.current_effective_deadline() == -math.inf else ()


async def clear_stray_cancellation() -> None:
    """Undo the `cancel()` that a plugin has called on the asyncio task of ours in which it ran, if it has."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio has no such thing
        return
    if task is not None and task.cancelling() and not cancellation_classes():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while task.cancelling():
            task.uncancel()
