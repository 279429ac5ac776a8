"""One worker process, as an utterance uses it."""

from __future__ import annotations

import json

import anyio
from attrs import define

from rtvi_plugins import ProviderError
from rtvi_plugins.helper_process import HelperLost, HelperProcess
from rtvi_plugins.helper_worker import LONGEST, worker_command

from ._grammar import Heard
from ._protocol import Kind

__all__ = ("Worker",)


@define(eq=False)
class Worker:
    """A worker. Its failures are a `ProviderError` that may be retried."""

    process: HelperProcess
    _id: int = 0

    @classmethod
    async def launch(cls) -> Worker:
        """Start a process. It can be sent an utterance at once, and works on it when its models are loaded."""
        try:
            return cls(await HelperProcess.start(worker_command("rtvi_plugins_pocketsphinx.worker")))
        except HelperLost as error:
            raise _unavailable() from error

    @property
    def usable(self) -> bool:
        """Return whether another utterance can use it."""
        return self.process.usable

    async def ready(self) -> None:
        """Wait until its models are loaded."""
        await self._receive(0)

    async def start(self, jsgf: str | None, cmn: str | None) -> None:
        """Begin an utterance. The worker drops the one before, if that did not end."""
        self._id = self.process.new_request()
        await self._send(Kind.START, json.dumps({"jsgf": jsgf, "cmn": cmn}).encode())

    async def hear(self, pcm: bytes) -> None:
        """Send audio: 16 kHz, mono, s16le."""
        for at in range(0, len(pcm), LONGEST):
            await self._send(Kind.AUDIO, pcm[at : at + LONGEST])

    async def so_far(self) -> Heard:
        """Return what was heard in the audio that was sent."""
        await self._send(Kind.INTERIM)
        return await self._heard()

    async def end(self) -> Heard:
        """Return what was heard in the whole utterance."""
        await self._send(Kind.END)
        return await self._heard()

    async def stop(self) -> None:
        """Kill the process and wait until it has ended, also if the caller is cancelled."""
        with anyio.CancelScope(shield=True):
            await self.process.aclose(kill=True)

    async def _send(self, kind: Kind, payload: bytes = b"") -> None:
        try:
            await self.process.send(kind, self._id, payload)
        except HelperLost as error:
            raise _unavailable() from error

    async def _heard(self) -> Heard:
        return Heard(**json.loads(await self._receive(self._id)))

    async def _receive(self, id: int) -> bytes:
        try:
            return (await self.process.receive(id)).payload
        except HelperLost as error:
            raise _unavailable() from error


def _unavailable() -> ProviderError:
    return ProviderError("pocketsphinx", "unavailable", retryable=True)
