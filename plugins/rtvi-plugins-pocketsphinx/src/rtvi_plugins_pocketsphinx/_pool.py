"""The workers of an event loop, shared by all sessions: each recognises one utterance at a time.

A worker needs some 100 MB, and people are silent most of the time. So workers do not belong to a session: an utterance
takes an idle worker or starts another one, and gives it back. Then no utterance delays the next one of its session, the
operating system spreads them over the cores, and a crash ends one of them. Workers with a decoder for each utterance
would need as much memory, because decoders share nothing.

Only the utterance that has a worker reads its replies, so the pool needs no task of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from attrs import define, field

from rtvi_plugins.helper_process import PerEventLoop

from ._worker import Worker

__all__ = ("Pool", "shared_pool")

_CORES = os.cpu_count() or 1

#: Dictation takes 0.14 to 0.2 of a core. More utterances at once would be recognised slower than they are spoken.
_MOST = 5 * _CORES

#: A new worker is ready in half a second. Meanwhile the audio waits, and is then decoded several times faster than it
#: was spoken. So only as many are kept as can decode at the same moment.
_MOST_IDLE = _CORES

#: How long a session that opens waits for a worker to get ready.
_WARM_SECONDS = 5.0


@define(eq=False)
class Pool:
    """The workers of one event loop."""

    idle: list[Worker] = field(factory=list[Worker])
    #: How many workers have an utterance.
    busy: int = 0
    _closed: bool = False
    _slots: anyio.Semaphore = field(factory=lambda: anyio.Semaphore(_MOST))
    _warming: anyio.Lock = field(factory=anyio.Lock)

    async def warm(self) -> None:
        """Have a worker ready, so that the first utterance does not wait for one.

        Do nothing while others speak: their workers use the processor, and a new one would get ready slowly. Then the
        first utterance starts a worker and waits for it.
        """
        async with self._warming:
            if self.idle or self.busy:
                return
            worker = await Worker.launch()
            try:
                with anyio.move_on_after(_WARM_SECONDS):
                    await worker.ready()
            finally:
                await self._give_back(worker)

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[Worker]:
        """Yield a worker for one utterance. Wait for one if the maximum is busy."""
        async with self._slots:
            self.busy += 1
            try:
                worker = await self._take()
                try:
                    yield worker
                finally:
                    await self._give_back(worker)
            finally:
                self.busy -= 1

    async def _take(self) -> Worker:
        while self.idle:
            worker = self.idle.pop()
            if worker.usable:
                return worker
            await worker.stop()
        return await Worker.launch()

    async def _give_back(self, worker: Worker) -> None:
        if worker.usable and not self._closed and len(self.idle) < _MOST_IDLE:
            self.idle.append(worker)
        else:
            await worker.stop()

    async def aclose(self) -> None:
        """End the idle workers. A busy one ends after its utterance."""
        self._closed = True
        while self.idle:
            await self.idle.pop().stop()


_pools = PerEventLoop("rtvi_plugins_pocketsphinx.pool", Pool)


@asynccontextmanager
async def shared_pool() -> AsyncGenerator[Pool]:
    """Yield the pool of this event loop, with a worker that is ready. Its workers end with its last user."""
    async with _pools.use() as pool:
        await pool.warm()
        yield pool
