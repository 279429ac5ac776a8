"""Watch the event loop: measure how late it is, and report code that blocks it. While it does, no session is served.

A task on the event loop reports regularly that it runs. If it does not, a thread logs what the event loop is doing at
that moment, and whose code that is. A loop that is late without being blocked has more work than it can do in time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from types import FrameType
from typing import Final

import anyio

from ..utils.blocked_threads import format_stack, innermost_owner, stack_of

__all__ = ("Lateness", "Watchdog", "watching")

#: How often the delay is measured, in seconds.
_MEASURE_SECONDS: Final = 0.25

#: How much of the greatest delay is left at the next measurement. After five seconds it is a hundredth.
_DELAY_DECAY: Final = 0.8


class Lateness:
    """The greatest delay of the event loop in the last seconds, in `seconds`. It decays: see `_DELAY_DECAY`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._now = now

    def note(self, late: float) -> None:
        """Note by how many seconds a task of the event loop was late."""
        self.seconds = max(late, self.seconds * _DELAY_DECAY, 0.0)

    @asynccontextmanager
    async def measuring(self) -> AsyncGenerator[None]:
        """Measure the lateness in a task of its own while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._measure)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _measure(self) -> None:
        while True:
            begun = self._now()
            await anyio.sleep(_MEASURE_SECONDS)
            self.note(self._now() - begun - _MEASURE_SECONDS)


log = logging.getLogger("rtvi_plugins")

#: How often the same place is logged, in seconds, and how many places are remembered.
_AGAIN_SECONDS: Final = 60.0

_MOST_PLACES: Final = 100

#: In these modules an event loop waits for events, or for the processor. Nothing blocks it.
_IDLE_MODULES: Final = ("selectors", "asyncio.", "uvloop", "trio._core", "anyio.")


class Watchdog:
    """Notices when the event loop is blocked for longer than `seconds`."""

    def __init__(self, seconds: float, owners: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._owners = owners
        self._now = now
        self._thread = threading.get_ident()
        self._last_beat = now()
        self._blocked_since: float | None = None
        self._logged_places: dict[str, float] = {}

    def beat(self) -> None:
        """Note that the event loop runs."""
        now, since, self._last_beat = self._now(), self._blocked_since, self._now()
        if since is not None:
            self._blocked_since = None
            log.warning("the event loop continues; it was blocked for %.1f s", now - since)

    def check(self) -> None:
        """Log where the event loop is blocked, once for each block."""
        now, beaten = self._now(), self._last_beat
        if self._blocked_since is not None or now - beaten < self._seconds:
            return
        frames = stack_of(self._thread)
        if not frames or _is_idle(frames[0]):
            return
        place = f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}"
        if now - self._logged_places.get(place, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
            return
        if len(self._logged_places) >= _MOST_PLACES:
            self._logged_places.clear()
        self._logged_places[place] = now
        self._blocked_since = beaten
        owner = innermost_owner(frames, self._owners) or "the framework or a library of its own"
        log.warning(
            "%s blocks the event loop for more than %g s, and no session is served: it is in %s",
            owner,
            self._seconds,
            format_stack(frames),
        )


def _is_idle(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_IDLE_MODULES)


@asynccontextmanager
async def watching(
    seconds: float, owners: Mapping[str, str], now: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Watchdog]:
    """Watch the running event loop during the block. `now` is the clock, in seconds."""
    watchdog, ended = Watchdog(seconds, owners, now), threading.Event()

    def check() -> None:
        while not ended.wait(seconds / 4):
            watchdog.check()

    async def beat() -> None:
        while True:
            watchdog.beat()
            await anyio.sleep(seconds / 4)

    threading.Thread(target=check, name="rtvi watchdog", daemon=True).start()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            yield watchdog
            tasks.cancel_scope.cancel()
    finally:
        ended.set()
