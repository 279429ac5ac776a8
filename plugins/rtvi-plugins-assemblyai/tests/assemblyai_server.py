"""A fake of AssemblyAI: recognises prepared sentences in whatever is loud.

The vendor's own SDK reads its messages in `tests/sdks`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, FakeVendor, fake_vendor

__all__ = ("AssemblyAI", "assemblyai", "stt_vendor")

#: How many seconds of a loud sound are a word, and how many bytes a message of audio may have.
HEARD, ALLOWED = 0.2, range(1_600, 32_001)


@define(eq=False)
class AssemblyAI:
    """What the fake recognises."""

    vendor: FakeVendor
    #: The sentence of each turn. The last one stays.
    sentences: list[str] = field(factory=lambda: ["One two three four five."])
    #: How sure it is that a turn is over. Models of the series Universal-3 end each one after a short silence.
    confidence: float = 0.7

    async def listen(self, socket: FakeSocket) -> None:
        """Answer at `/v3/ws`."""
        hearing = _Hearing(self, socket, socket.request.params)
        configuration = {"model": socket.request.params["speech_model"], "mode": None, "api_version": "2025-05-12"}
        await socket.send({"type": "Begin", "id": "de5d9927", "expires_at": 1795910000, "configuration": configuration})
        async for message in socket:
            match message:
                case bytes() if len(message) in ALLOWED:
                    await hearing.take(message)
                case {"type": "ForceEndpoint"}:
                    await hearing.end()
                case {"type": "Terminate"}:
                    await hearing.end()
                    lasted = {"audio_duration_seconds": round(hearing.heard), "session_duration_seconds": 2}
                    await socket.send({"type": "Termination", **lasted})
                    await socket.close()
                    return
                case {"type": "KeepAlive"}:
                    pass
                case _:
                    code = 3007 if isinstance(message, bytes) else 3006
                    await socket.send({"type": "Error", "error_code": code, "error": "Input violation"})
                    await socket.close(code, "Input violation")
                    return


@define(eq=False)
class _Hearing:
    """The state of one connection."""

    fake: AssemblyAI
    socket: FakeSocket
    params: Mapping[str, str]
    heard: float = 0.0
    began: float = 0.0
    loud: float = 0.0
    silent: float = 0.0
    shown: int = 0
    turns: int = 0

    @property
    def is_universal_3(self) -> bool:
        return self.params["speech_model"].startswith(("universal-3", "u3"))

    async def take(self, data: bytes) -> None:
        seconds = len(data) / 2 / int(self.params["sample_rate"])
        if is_loud(data):
            if not self.loud:
                self.began = self.heard
            if not self.loud and self.is_universal_3:
                await self.socket.send({"type": "SpeechStarted", "timestamp": round(self.heard * 1000)})
            self.loud, self.silent = self.loud + seconds, 0.0
        else:
            self.silent += seconds
        self.heard += seconds
        if (count := min(len(self._words()), math.floor(self.loud / HEARD))) > self.shown:
            self.shown = count
            await self._send(self._words()[:count], end=False)
        threshold = float(self.params.get("end_of_turn_confidence_threshold", "0.4"))
        threshold = 0.0 if self.is_universal_3 else threshold
        if self.silent >= 0.09 and self.fake.confidence >= threshold:
            await self.end()

    async def end(self) -> None:
        """End a turn. Nothing happens if there is none."""
        if not self.loud:
            return
        if not self.is_universal_3:
            await self._send([each.lower().strip(".,?") for each in self._words()], end=True)
        if self.is_universal_3 or self.params.get("format_turns", "").lower() == "true":  # the SDK writes True
            await self._send(self._words(), end=True, formatted=True)
        self.turns, self.loud, self.shown, self.silent = self.turns + 1, 0.0, 0, 0.0

    def _words(self) -> list[str]:
        sentences = self.fake.sentences
        return sentences[min(self.turns, len(sentences) - 1)].split()

    async def _send(self, words: list[str], *, end: bool, formatted: bool = False) -> None:
        listed: list[dict[str, Any]] = [
            {
                "start": round((self.began + n * HEARD) * 1000),
                "end": round((self.began + (n + 1) * HEARD) * 1000),
                "text": word if formatted else word.lower().strip(".,?"),
                "confidence": 0.9,
                "word_is_final": end or n < len(words) - 1,
            }
            for n, word in enumerate(words)
        ]
        final = " ".join(each["text"] for each in listed if each["word_is_final"])
        detected = {"language_code": "de", "language_confidence": 0.9} if "language_detection" in self.params else {}
        labelled = {"speaker_label": "A"} if "speaker_labels" in self.params else {}
        await self.socket.send(
            {
                "type": "Turn",
                "turn_order": self.turns,
                "turn_is_formatted": formatted,
                "end_of_turn": end,
                "transcript": final,
                "utterance": "",
                "end_of_turn_confidence": self.fake.confidence if end else 0.01,
                "words": listed,
                **detected,
                **labelled,
            }
        )


@asynccontextmanager
async def assemblyai() -> AsyncGenerator[AssemblyAI]:
    """Run the fake on a free port of this machine."""
    async with fake_vendor() as vendor:
        fake = AssemblyAI(vendor)
        vendor.on("/v3/ws", fake.listen)
        yield fake


@asynccontextmanager
async def stt_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit."""
    async with assemblyai() as fake:
        yield SocketVendor(fake.vendor, "/v3/ws", fake.listen, is_piece=lambda each: each["type"] == "Turn")
