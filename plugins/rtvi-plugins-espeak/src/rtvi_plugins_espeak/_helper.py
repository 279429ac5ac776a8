"""The helper process as the services of one event loop share it: started with the first, ended with the last.

One process for all of them, because starting one takes 40 ms and 16 MB, and what it does is done soon: one second of
speech takes 1 ms. espeak has one state for a process, so requests are carried out one after the other, each with
all of its settings; they are short (`_text.LONGEST`), and nobody is waited for who is slow to play what was made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field

from rtvi_plugins.errors import ProviderError

from ._process import HelperProcess, Lost, start
from ._protocol import Frame

__all__ = ("PROVIDER", "Helper", "shared_helper")

PROVIDER = "espeak"


@define(eq=False)
class Helper:
    """A helper process that is replaced when it dies."""

    _start: Callable[[], Awaitable[HelperProcess]] = start
    users: int = field(default=0, init=False)
    _process: HelperProcess | None = field(default=None, init=False)
    _turn: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True), init=False)

    async def open(self) -> HelperProcess:
        """The process, started if none runs. `ProviderError` if it does not come up."""
        if self._process is not None and self._process.alive:
            return self._process  # without waiting for what it has to say to others
        async with self._turn:
            return await self._running()

    async def say(self, order: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        """Have something said when it is its turn. `ProviderError` when the process is lost on the way.

        A process that had died before it took the request is replaced by another; one that dies of it is not, for the
        next might die of it too.
        """
        async with self._turn:
            try:
                try:
                    await self._ask(order, put)
                except Lost as lost:
                    if lost.taken:
                        raise
                    await self._ask(order, put)
            except Lost:
                raise ProviderError(PROVIDER, "unavailable") from None

    async def _ask(self, order: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        process = await self._running()
        try:
            await process.ask(order, put)
        except Lost:
            await self.close(kill=True)
            raise

    async def _running(self) -> HelperProcess:
        if self._process is not None and not self._process.alive:
            await self.close()
        if self._process is None:
            try:
                self._process = await self._start()
            except Lost:
                raise ProviderError(PROVIDER, "unavailable") from None
        return self._process

    async def close(self, *, kill: bool = False) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is not None:
            await process.aclose(kill=kill)


_shared: RunVar[Helper | None] = RunVar("rtvi_plugins_espeak", default=None)


@asynccontextmanager
async def shared_helper() -> AsyncGenerator[Helper]:
    """The helper of this event loop, with its process running."""
    helper = _shared.get() or Helper()
    _shared.set(helper)
    helper.users += 1
    try:
        await helper.open()
        yield helper
    finally:
        helper.users -= 1
        if not helper.users:
            # Forgotten first: whoever comes while it ends must not be given it.
            _shared.set(None)
            await helper.close()
