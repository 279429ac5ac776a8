"""The helper process in which Piper runs: shared by all sessions of an event loop, and replaced when it dies.

A voice needs 200 MB and a second to load, so one process has all of them. It makes one part of a text at a time, on all
cores: several at once would be ready later. Parts are short, so nobody waits long.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.helper_process import (
    Frame,
    HelperLost,
    HelperProcess,
    PerEventLoop,
    SupervisedHelper,
)
from rtvi_plugins.helper_worker import FAILED, worker_command

from ._protocol import Kind
from ._voices import VoiceFiles

__all__ = ("PROVIDER", "PiperHelper", "Spoken", "shared_helper")

PROVIDER = "piper"

log = logging.getLogger("rtvi_plugins.piper")

#: A part of a text takes up to 2 s on two cores, and a voice 2 s to load. A process that takes this long hangs.
_REPLY_SECONDS = 30.0


@frozen
class Spoken:
    """The audio of a part (s16le, mono), and its words with the sample at which each starts."""

    pcm: bytes
    words: Sequence[tuple[str, int]]


class PiperHelper(SupervisedHelper):
    """The process of one event loop. Its failures are a `ProviderError`."""

    def __init__(self, command: Sequence[str] | None = None, *, reply_seconds: float = _REPLY_SECONDS) -> None:
        command = command or worker_command("rtvi_plugins_piper.worker")
        super().__init__(partial(HelperProcess.start, command, stderr=subprocess.DEVNULL), reply_seconds=reply_seconds)
        #: The models that the process has loaded.
        self._loaded = set[Path]()

    async def load(self, voice: VoiceFiles) -> None:
        """Load a voice, if it is not loaded. Do not wait while the process speaks with it for others."""
        if voice.model not in self._loaded or not self.usable:
            await self._replies_to(Kind.LOAD, _described(voice))
            self._loaded.add(voice.model)

    async def aclose(self, *, kill: bool = False) -> None:
        self._loaded.clear()
        await super().aclose(kill=kill)

    async def speak(self, voice: VoiceFiles, text: str, *, speed: float, speaker: int | None) -> Spoken:
        """Have a part of a text spoken, when it is its turn. Cancellation stops the process from making it."""
        request = {"voice": _described(voice), "text": text, "speed": speed, "speaker": speaker}
        replies = await self._replies_to(Kind.SPEAK, request)
        words: list[tuple[str, int]] = json.loads(replies[Kind.WORDS] or b"[]")
        return Spoken(bytes(replies[Kind.AUDIO]), words)

    async def _replies_to(self, kind: Kind, request: Mapping[str, Any]) -> Mapping[int, bytearray]:
        """Send a request, and return the payloads of its replies by their kinds."""
        replies = defaultdict[int, bytearray](bytearray)

        def add(reply: Frame) -> None:
            replies[reply.kind] += reply.payload

        try:
            last = await self.request(kind, json.dumps(request).encode(), add)
        except HelperLost:
            raise ProviderError(PROVIDER, "unavailable") from None
        if last.kind == FAILED:
            log.error("%s", last.payload.decode(errors="replace"))
            raise ProviderError(PROVIDER, "bad-request" if kind == Kind.SPEAK else "unavailable", retryable=False)
        return replies


def _described(voice: VoiceFiles) -> Mapping[str, Any]:
    model_sha256, config_sha256 = voice.hashes
    return {
        "model": str(voice.model.absolute()),
        "config": str(voice.config.absolute()),
        "model_sha256": model_sha256,
        "config_sha256": config_sha256,
    }


#: The helper of each event loop.
shared_helper = PerEventLoop("rtvi_plugins_piper", PiperHelper)
