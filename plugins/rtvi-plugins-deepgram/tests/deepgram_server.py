"""A fake of Deepgram: recognises prepared sentences in whatever is loud, and speaks a tone for each word.

The vendor's own SDK reads its messages in `tests/sdks`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud, tone
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, FakeVendor, fake_vendor

__all__ = ("Deepgram", "deepgram", "stt_vendor", "tts_vendor")

#: How many seconds of a loud sound are a word, and how many seconds of speech are made of one.
HEARD, SPOKEN = 0.2, 0.1
REQUEST = "8c8ebea9-dbec-45fa-a035-e4632cb05b5f"


@define(eq=False)
class Deepgram:
    """What the fake recognises, and how it answers."""

    vendor: FakeVendor
    #: The sentence of each utterance. The last one stays.
    sentences: list[str] = field(factory=lambda: ["one two three four five"])
    #: Whether `Finalize` is answered. Deepgram does not promise it.
    answers_finalize: bool = True
    #: How many flushes are answered, after which there is a warning.
    flushes: float = math.inf
    #: How sure Flux is that a turn is over.
    confidence: float = 0.8

    async def listen(self, socket: FakeSocket) -> None:
        """Answer at `/v1/listen`."""
        hearing = _Hearing(self, socket, socket.request.params)
        async for message in socket:
            match message:
                case bytes():
                    await hearing.take(message)
                case {"type": "Finalize"}:
                    await hearing.finalize()
                case {"type": "CloseStream"}:
                    await hearing.close()
                    return
                case {"type": "KeepAlive"}:
                    pass
                case other:
                    error = {"type": "Error", "variant": "SchemaError", "description": "Could not parse it"}
                    await socket.send({**error, "message": str(other)})

    async def listen_in_turns(self, socket: FakeSocket) -> None:
        """Answer at `/v2/listen`."""
        turns = _Turns(self, socket, float(socket.request.params.get("eot_threshold", "0.7")))
        await turns.send({"type": "Connected"})
        async for message in socket:
            match message:
                case bytes():
                    await turns.take(message)
                case {"type": "ForceEndTurn"}:
                    await turns.end("manual")
                case {"type": "CloseStream"}:
                    await turns.end("model")
                    await socket.close()
                    return
                case _:
                    await turns.send({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "No"})

    async def speak(self, socket: FakeSocket) -> None:
        """Answer at `/v1/speak`."""
        rate, text, sequence = int(socket.request.params["sample_rate"]), "", 0
        model = {"model_name": socket.request.params["model"], "model_version": "2025-01-01.0", "model_uuid": REQUEST}
        await socket.send({"type": "Metadata", "request_id": REQUEST, **model})
        async for message in socket:
            match message["type"]:
                case "Speak":
                    text += message["text"]
                case "Flush" if sequence < self.flushes:
                    for _ in text.split():
                        data = tone(SPOKEN, rate)
                        await socket.send(data[:333])  # an odd number of bytes
                        await socket.send(data[333:])
                    await socket.send({"type": "Flushed", "sequence_id": sequence})
                    sequence, text = sequence + 1, ""
                case "Flush":
                    await socket.send({"type": "Warning", "code": "EXCESSIVE_FLUSH", "description": "Too many"})
                case "Clear":
                    text = ""
                    await socket.send({"type": "Cleared", "sequence_id": sequence})
                case _:
                    return

    async def speak_in_turns(self, socket: FakeSocket) -> None:
        """Answer at `/v2/speak`. A text is spoken as it comes, and `Flush` ends the turn."""
        rate, characters, seconds = int(socket.request.params["sample_rate"]), 0, 0.0
        model = {"model_name": socket.request.params["model"], "model_version": "2026.06.01", "model_uuids": [REQUEST]}
        await socket.send({"type": "Connected", "request_id": REQUEST, **model})
        speech = {"speech_id": "dg_sp_0123456789ab"}
        async for message in socket:
            match message:
                case {"type": "Speak", "text": text}:
                    if not characters:
                        await socket.send({"type": "SpeechStarted", **speech})
                    characters += len(text)
                    for _ in text.split():
                        seconds += SPOKEN
                        data = tone(SPOKEN, rate)
                        await socket.send(data[:333])  # an odd number of bytes
                        await socket.send(data[333:])
                case {"type": "Flush"}:
                    await socket.send({"type": "Flushed", **speech})
                    applied = {"pronunciations_applied": 0, "breaks_applied": 0, "pronunciation_warnings": 0}
                    counted = {"input_character_count": characters, "billable_character_count": characters}
                    lasted = {"audio_duration_ms": round(seconds * 1000)}
                    await socket.send(
                        {"type": "SpeechMetadata", **speech, **lasted, **counted, "controls_applied": applied}
                    )
                    characters, seconds = 0, 0.0
                case {"type": "Close"}:
                    await socket.close()
                    return
                case _:
                    await socket.send({"type": "Error", "code": "MESSAGE-0000", "description": "Unknown"})


@define(eq=False)
class _Hearing:
    """The state of one connection to `/v1/listen`."""

    fake: Deepgram
    socket: FakeSocket
    params: Mapping[str, str]
    heard: float = 0.0
    #: The seconds at which the part began whose result is not final, its seconds of loud sound, and of silence after.
    began: float = 0.0
    loud: float = 0.0
    silent: float = 0.0
    shown: int = 0
    utterances: int = 0
    waits_for_end: bool = False

    async def take(self, data: bytes) -> None:
        seconds = len(data) / 2 / int(self.params["sample_rate"])
        self.heard += seconds
        if is_loud(data):
            self.loud, self.silent = self.loud + seconds, 0.0
        else:
            self.silent += seconds
        if self.params.get("interim_results") == "true" and self._count() > self.shown:
            self.shown = self._count()
            await self._send(self.shown, final=False)
        endpointing = self.params.get("endpointing", "10")
        if self.loud and endpointing != "false" and self.silent * 1000 >= int(endpointing) and self.silent >= 0.09:
            await self._finish(speech_final=True)
        if self.waits_for_end and self.silent * 1000 >= int(self.params.get("utterance_end_ms", "1000000")):
            self.waits_for_end = False
            await self.socket.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": self.heard})

    async def finalize(self) -> None:
        if self.fake.answers_finalize:
            await self._finish(from_finalize=True)

    async def close(self) -> None:
        if self.loud:
            await self._finish(speech_final=True)
        about = {"transaction_key": "deprecated", "request_id": REQUEST, "sha256": "e3b0c442"}
        created = {"created": "2026-11-29T22:37:55.202Z", "duration": round(self.heard, 3), "channels": 1}
        await self.socket.send({"type": "Metadata", **about, **created})
        await self.socket.close()

    def _count(self) -> int:
        return min(len(self._words()), math.floor(self.loud / HEARD))

    def _words(self) -> list[str]:
        sentences = self.fake.sentences
        return sentences[min(self.utterances, len(sentences) - 1)].split()

    async def _finish(self, *, speech_final: bool = False, from_finalize: bool = False) -> None:
        await self._send(
            len(self._words()) if self.loud else 0, final=True, speech_final=speech_final, from_finalize=from_finalize
        )
        self.utterances += bool(self.loud)
        self.waits_for_end = True
        self.began, self.loud, self.silent, self.shown = self.heard, 0.0, 0.0, 0

    async def _send(self, count: int, *, final: bool, speech_final: bool = False, from_finalize: bool = False) -> None:
        words: list[dict[str, Any]] = [
            {
                "word": word.lower().strip(".,!?"),
                "start": round(self.began + n * HEARD, 3),
                "end": round(self.began + (n + 1) * HEARD, 3),
                "confidence": 0.98,
                "punctuated_word": word,
                **({"speaker": 0} if "diarize_model" in self.params else {}),
            }
            for n, word in enumerate(self._words()[:count])
        ]
        languages = {"languages": ["de"]} if self.params.get("language") == "multi" else {}
        text = " ".join(each["punctuated_word"] for each in words)
        alternative: dict[str, Any] = {"transcript": text, "confidence": 0.97, "words": words, **languages}
        model = {"name": "general-nova-3", "version": "2025-01-01.0", "arch": "nova-3"}
        await self.socket.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": round(self.began, 3),
                "duration": round(self.heard - self.began, 3),
                "is_final": final,
                "speech_final": speech_final,
                "from_finalize": from_finalize,
                "channel": {"alternatives": [alternative]},
                "metadata": {"request_id": REQUEST, "model_info": model, "model_uuid": REQUEST},
            }
        )


@define(eq=False)
class _Turns:
    """The state of one connection to `/v2/listen`."""

    fake: Deepgram
    socket: FakeSocket
    threshold: float
    heard: float = 0.0
    began: float = 0.0
    loud: float = 0.0
    silent: float = 0.0
    #: The seconds of audio that were reported, and how many messages and turns there were.
    shown: float = 0.0
    sequence: int = 0
    turns: int = 0

    async def take(self, data: bytes) -> None:
        seconds = len(data) / 2 / 16_000
        if is_loud(data):
            if not self.loud:
                self.began = self.shown = self.heard
                await self._tell("StartOfTurn")
            self.loud, self.silent = self.loud + seconds, 0.0
        else:
            self.silent += seconds
        self.heard += seconds
        if self.loud and self.heard - self.shown >= 0.25:
            self.shown = self.heard
            await self._tell("Update")
        if self.silent >= 0.09 and self.fake.confidence >= self.threshold:
            await self.end("model")

    async def end(self, trigger: str) -> None:
        """End a turn. Nothing happens if there is none."""
        if self.loud:
            self.loud = math.inf
            await self._tell("EndOfTurn", trigger=trigger)
            self.loud, self.silent, self.turns = 0.0, 0.0, self.turns + 1

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message with the fields that all have."""
        await self.socket.send({**message, "request_id": REQUEST, "sequence_id": self.sequence})
        self.sequence += 1

    async def _tell(self, event: str, **more: str) -> None:
        sentence = self.fake.sentences[min(self.turns, len(self.fake.sentences) - 1)].split()
        words = sentence[: int(min(len(sentence), self.loud / HEARD))]
        times = [
            {
                "word": word,
                "confidence": 0.9,
                "start": round(self.began + n * HEARD, 3),
                "end": round(self.began + (n + 1) * HEARD, 3),
            }
            for n, word in enumerate(words)
        ]
        ended = event == "EndOfTurn"
        about = {"audio_window_start": self.began, "audio_window_end": self.heard, "turn_index": self.turns}
        confidence = {"end_of_turn_confidence": self.fake.confidence if ended else 0.1}
        text = {"transcript": " ".join(words), "words": times}
        languages = {"languages": ["de"]} if self.socket.request.params["model"] == "flux-general-multi" else {}
        await self.send({"type": "TurnInfo", "event": event, **about, **text, **confidence, **languages, **more})


@asynccontextmanager
async def deepgram() -> AsyncGenerator[Deepgram]:
    """Run the fake on a free port of this machine."""
    async with fake_vendor() as vendor:
        fake = Deepgram(vendor)
        vendor.on("/v1/listen", fake.listen)
        vendor.on("/v2/listen", fake.listen_in_turns)
        vendor.on("/v1/speak", fake.speak)
        vendor.on("/v2/speak", fake.speak_in_turns)
        yield fake


@asynccontextmanager
async def stt_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit: recognition."""
    async with deepgram() as fake:
        yield SocketVendor(fake.vendor, "/v1/listen", fake.listen, is_piece=lambda each: each["type"] == "Results")


@asynccontextmanager
async def tts_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit: speech."""
    async with deepgram() as fake:
        yield SocketVendor(
            fake.vendor,
            "/v1/speak",
            fake.speak,
            is_piece=lambda each: isinstance(each, bytes),
            is_goodbye=lambda each: each["type"] == "Clear",
        )
