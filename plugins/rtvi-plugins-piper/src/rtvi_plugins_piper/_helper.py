"""The helper process in which Piper runs: shared by all sessions of an event loop, and replaced when it dies.

A voice needs 200 MB and a second to load, so one process has all of them. It makes one part of a text at a time, on all
cores: several at once would be ready later. Parts are short, so nobody waits long.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field, frozen

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.helper_process import HelperLost, HelperProcess, PerEventLoop

from ._protocol import Kind
from ._voices import VoiceFiles

__all__ = ("PROVIDER", "Helper", "Spoken", "shared_helper")

PROVIDER = "piper"

log = logging.getLogger("rtvi_plugins.piper")

#: -P: a file in the working directory must not replace a module.
COMMAND: Sequence[str] = (sys.executable, "-P", "-m", "rtvi_plugins_piper.worker")

#: A part of a text takes up to 2 s on two cores, and a voice 2 s to load. A process that takes this long hangs.
_REPLY_SECONDS = 30.0
#: A process that is not stuck reads a few bytes at once.
_CANCEL_SECONDS = 0.5


#: The payloads of the replies to a request, by kind.
_Replies = dict[int, list[bytes]]


@frozen
class Spoken:
    """The audio of a part (s16le, mono), and its words with the sample at which each starts."""

    pcm: bytes
    words: Sequence[tuple[str, int]]


@define(eq=False)
class Helper:
    """The process of one event loop. Its failures are a `ProviderError`."""

    command: Sequence[str] = COMMAND
    _process: HelperProcess | None = field(default=None, init=False)
    _turn: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True), init=False)
    _loaded: set[Path] = field(factory=set[Path], init=False)

    async def load(self, voice: VoiceFiles) -> None:
        """Load a voice, if it is not loaded. Do not wait while the process speaks with it for others."""
        if voice.model not in self._loaded or self._process is None or not self._process.usable:
            await self._request(Kind.LOAD, _described(voice))
            self._loaded.add(voice.model)

    async def speak(self, voice: VoiceFiles, text: str, *, speed: float, speaker: int | None) -> Spoken:
        """Have a part of a text spoken, when it is its turn. Cancellation stops the process from making it."""
        request = {"voice": _described(voice), "text": text, "speed": speed, "speaker": speaker}
        replies = await self._request(Kind.SPEAK, request)
        words: list[tuple[str, int]] = json.loads(b"".join(replies.get(Kind.WORDS, ())) or b"[]")
        return Spoken(b"".join(replies.get(Kind.AUDIO, ())), words)

    async def _request(self, kind: Kind, request: Mapping[str, Any]) -> _Replies:
        """Send a request and return its replies.

        A process that died while nobody used it is replaced. One that dies during a request fails it, because the next
        process might die of it too.
        """
        payload = json.dumps(request).encode()
        async with self._turn:
            replies = await self._try(kind, payload) or await self._try(kind, payload)
        if not replies:
            raise ProviderError(PROVIDER, "unavailable")
        if reason := replies.get(Kind.FAILED):
            log.error("%s", reason[0].decode(errors="replace"))
            raise ProviderError(PROVIDER, "bad-request" if kind == Kind.SPEAK else "unavailable", retryable=False)
        return replies

    async def _try(self, kind: Kind, payload: bytes) -> _Replies:
        """Return the replies; none if the process was lost before it began. Raise `ProviderError` if it was later."""
        replies: _Replies = {}
        try:
            await _exchange(await self._running(), kind, payload, replies)
        except HelperLost:
            await self.aclose(kill=True)
            if replies:
                raise ProviderError(PROVIDER, "unavailable") from None
        return replies

    async def _running(self) -> HelperProcess:
        if self._process is not None and not self._process.usable:
            await self.aclose(kill=True)
        if self._process is None:
            self._process = await HelperProcess.start(self.command, stderr=subprocess.DEVNULL)
        return self._process

    async def aclose(self, *, kill: bool = False) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        self._loaded.clear()
        if process is not None:
            await process.aclose(kill=kill)


async def _exchange(process: HelperProcess, kind: Kind, payload: bytes, replies: _Replies) -> None:
    """Send a request and add its replies. Raise `HelperLost`."""
    id = process.new_request()
    try:
        await process.send(kind, id, payload, seconds=_REPLY_SECONDS)
        with anyio.fail_after(_REPLY_SECONDS):
            while not replies.keys() & {Kind.DONE, Kind.FAILED}:
                frame = await process.receive(id)
                replies.setdefault(frame.kind, []).append(frame.payload)
    except anyio.get_cancelled_exc_class():
        with suppress(HelperLost):
            await process.send(Kind.CANCEL, id, seconds=_CANCEL_SECONDS)
        raise
    except TimeoutError:
        raise HelperLost("the helper process hangs") from None


def _described(voice: VoiceFiles) -> Mapping[str, Any]:
    model_sha256, config_sha256 = voice.hashes
    return {
        "model": str(voice.model.absolute()),
        "config": str(voice.config.absolute()),
        "model_sha256": model_sha256,
        "config_sha256": config_sha256,
    }


#: The helper of each event loop.
shared_helper = PerEventLoop("rtvi_plugins_piper", Helper)
