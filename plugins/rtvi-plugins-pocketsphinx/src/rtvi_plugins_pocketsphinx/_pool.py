"""The workers of a process: each recognises one utterance at a time, for whichever session has one.

A worker holds some 100 MB, and people are silent most of the time, so workers belong to no session: an utterance
takes an idle one or starts another, and gives it back. That keeps one utterance from delaying the next on its worker,
lets the system spread them over the cores, and confines a crash to one of them; workers with a decoder for each
utterance would need as much memory, for decoders share nothing.

Nobody reads a worker's replies but the utterance that has it, so the pool needs no task of its own and may outlive
the service that opened it. The last service that is closed ends the workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import anyio
from anyio.abc import Process
from anyio.lowlevel import RunVar
from attrs import define, field

from rtvi_plugins import ProviderError
from rtvi_plugins.security import helper_environment

from ._frames import AUDIO, END, HEADER, INTERIM, START, frame
from ._grammar import Heard

__all__ = ("Pool", "Worker", "shared_pool")

_CORES = os.cpu_count() or 1

#: Dictation takes 0.14 to 0.2 of a core, so that more utterances at once than this would fall behind the speakers.
_MOST = 5 * _CORES

#: One more is ready in half a second, during which the audio waits and is then decoded several times faster than
#: it was spoken; so only as many are kept as can decode at the same moment.
_MOST_IDLE = _CORES

#: How long a session that opens waits for a worker; one that is not ready by then gets ready later.
_WARM_SECONDS = 5.0


@define(eq=False)
class Worker:
    """A worker process, as the utterance sees it that has it. Failures are a `ProviderError` that may be retried."""

    process: Process
    utterance: int = 0
    _sound: bool = True
    _received: bytes = b""

    @classmethod
    async def launch(cls) -> Worker:
        """Start a process; it takes frames at once, and works on them when its models are loaded."""
        # -P: a file in the working directory must not stand in for a module. A session of its own: a Ctrl-C in the
        # terminal is for the server, which ends its workers itself.
        command = [sys.executable, "-P", "-m", "rtvi_plugins_pocketsphinx.worker"]
        pipe = subprocess.PIPE
        try:
            process = await anyio.open_process(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=None,
                start_new_session=True,
                env=helper_environment(),  # without the operator's secret and the keys of vendors
            )
            return cls(process)
        except OSError as error:
            raise ProviderError("pocketsphinx", "unavailable", retryable=True) from error

    @property
    def usable(self) -> bool:
        """Whether another utterance can have it: it lives, and what was last sent to it was sent whole."""
        return self._sound and self.process.returncode is None

    async def ready(self) -> None:
        """Wait until its models are loaded."""
        await self._receive()

    async def start(self, jsgf: str | None, cmn: str | None) -> None:
        """Begin an utterance; the worker drops the one before, if that was abandoned."""
        self.utterance += 1
        await self._send(START, json.dumps({"jsgf": jsgf, "cmn": cmn}).encode())

    async def hear(self, pcm: bytes) -> None:
        """Send audio: 16 kHz, mono, s16le."""
        await self._send(AUDIO, pcm)

    async def so_far(self) -> Heard:
        """What was heard in the audio that was sent."""
        await self._send(INTERIM)
        return await self._heard()

    async def end(self) -> Heard:
        """What was heard in the whole utterance."""
        await self._send(END)
        return await self._heard()

    async def stop(self) -> None:
        """End the process and wait until it is gone, also where the caller is cancelled."""
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.aclose()

    async def _send(self, kind: bytes, body: bytes = b"") -> None:
        assert self.process.stdin is not None
        self._sound = False  # and remains so if this is cancelled: half a frame may be in the pipe
        try:
            await self.process.stdin.send(frame(kind, self.utterance, body))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise ProviderError("pocketsphinx", "unavailable", retryable=True) from error
        self._sound = True

    async def _heard(self) -> Heard:
        return Heard(**json.loads(await self._receive()))

    async def _receive(self) -> bytes:
        """The body of the next frame for this utterance; those for abandoned ones are passed over."""
        while True:
            _, utterance, length = cast("tuple[bytes, int, int]", HEADER.unpack(await self._peek(HEADER.size)))
            whole = HEADER.size + length
            body = (await self._peek(whole))[HEADER.size :]
            self._received = self._received[whole:]
            if utterance == self.utterance:
                return body

    async def _peek(self, size: int) -> bytes:
        """So many bytes of what was received. They stay, so that a frame is taken whole or not at all."""
        assert self.process.stdout is not None
        while len(self._received) < size:
            try:
                self._received += await self.process.stdout.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                self._sound = False
                raise ProviderError("pocketsphinx", "unavailable", retryable=True) from error
        return self._received[:size]


@define(eq=False)
class Pool:
    """The workers of one event loop."""

    services: int = 0
    idle: list[Worker] = field(factory=list[Worker])
    #: Workers that have an utterance.
    busy: int = 0
    _places: anyio.Semaphore = field(factory=lambda: anyio.Semaphore(_MOST))
    _warming: anyio.Lock = field(factory=anyio.Lock)

    async def warm(self) -> None:
        """Have a worker that is ready, so that the first utterance need not wait for it.

        Where others are speaking, their workers take the processor, and one more would not be ready soon: then it is
        started by the first utterance, which waits for it.
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
        """A worker for one utterance. Where all that there may be are busy, it waits for one."""
        async with self._places:
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
        if worker.usable and self.services and len(self.idle) < _MOST_IDLE:
            self.idle.append(worker)
        else:
            await worker.stop()

    async def close(self) -> None:
        """End the workers that are idle now; one that is busy is ended by its utterance."""
        # Taken out first: a session that opens while these end has workers of its own, which stay.
        ending, self.idle = self.idle, []
        for worker in ending:
            await worker.stop()


_pool: RunVar[Pool] = RunVar("rtvi_plugins_pocketsphinx.pool")


@asynccontextmanager
async def shared_pool() -> AsyncGenerator[Pool]:
    """The pool of this event loop, with a worker that is ready. Its workers end with the last who has it."""
    pool = _pool.get(None) or Pool()
    _pool.set(pool)
    pool.services += 1
    try:
        await pool.warm()
        yield pool
    finally:
        pool.services -= 1
        if not pool.services:
            await pool.close()
