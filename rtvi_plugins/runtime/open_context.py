"""Keep an async context manager open in a task of its own: a service, or a lifespan.

It may hold a task group, so the task that entered it has to leave it. And what is replaced is not left in the reverse
order. Its exceptions end nothing else.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio

from ..errors import StartFailed, report
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import unwrap_group
from ..utils.waiting import OneShotEvent, clear_stray_cancellation

__all__ = ("OpenContext",)

log = logging.getLogger("rtvi_plugins")


class OpenContext:
    """A context manager, and the task that keeps it open. `name` is its name in the log."""

    __slots__ = (
        "_closed",
        "_closing",
        "_manager",
        "_scope",
        "abandoned",
        "ended",
        "error",
        "live",
        "name",
        "settled",
    )

    def __init__(self, name: str, manager: AbstractAsyncContextManager[Any]) -> None:
        self.name = name
        self.live: Any = None
        self.error: Exception | None = None
        self.settled = OneShotEvent()
        #: Whether it was cancelled and has not ended, and whether it has ended.
        self.abandoned = self.ended = False
        self._manager: AbstractAsyncContextManager[Any] | None = manager
        self._closing: OneShotEvent | None = None
        self._closed: OneShotEvent | None = None
        self._scope: anyio.CancelScope | None = None

    async def keep(self) -> None:
        """Enter it, wait for `close`, and leave it. No cancellation of the caller ends it."""
        manager, self._manager = self._manager, None
        early = False
        try:
            if manager is None:
                return
            with anyio.CancelScope(shield=True) as self._scope:
                async with manager as self.live:
                    self._closing = OneShotEvent()
                    self.settled.set()
                    early = True
                    await self._closing.wait()
                    early = False
            if early and not self._scope.cancel_called:
                # Its own task group was cancelled, as a client library does when its connection ends.
                self._failed(EOFError("it ended by itself"))
        except BaseException as error:  # no exception of one may end the others
            reraise_control_flow(error)
            self._failed(error)
        finally:
            self._scope = None
            self.abandoned, self.ended = False, True
            self.settled.set()
            if self._closed is not None:
                self._closed.set()
        await clear_stray_cancellation()

    def _failed(self, raised: BaseException) -> None:
        error = unwrap_group(raised)
        if self.settled.is_set():
            report(self.name, error)
        self.error = error if isinstance(error, Exception) else StartFailed("It ended the process.")

    def abandon(self) -> None:
        """Cancel it, because it is still opening, or does not close."""
        self._manager = None
        if self._scope is not None:
            self.abandoned = True
            self._scope.cancel()

    async def close(self, seconds: float = 5.0) -> None:
        """Close it. Cancel it if that takes longer than `seconds`."""
        if self._scope is None:
            return
        self._closed = OneShotEvent()
        if self._closing is not None:
            self._closing.set()
        # Shielded: a session that ends in the meantime must not leave it behind.
        with anyio.move_on_after(seconds, shield=True):
            await self._closed.wait()
            return
        log.warning("%s has not closed within %g s, and is cancelled", self.name, seconds)
        self.abandon()
