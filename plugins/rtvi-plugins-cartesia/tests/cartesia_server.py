"""A fake of Cartesia: speaks a tone for each word, and recognises prepared sentences in whatever is loud.

The vendor's own SDK reads its messages in `tests/sdks`.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud, tone
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, FakeVendor, fake_vendor

__all__ = ("Cartesia", "cartesia", "stt_vendor", "tts_vendor")

#: How many seconds of a loud sound are a word, and how many seconds of speech are made of one.
HEARD, SPOKEN = 0.2, 0.1
REQUEST = "b67e1c5d-2f4c-4c3d-9f82-96eb4d2f12a8"
FIELDS = {"model_id", "voice", "output_format", "transcript", "context_id"}


@define(eq=False)
class Cartesia:
    """What the fake recognises, and how it answers."""

    vendor: FakeVendor
    #: The sentence of each utterance. The last one stays.
    sentences: list[str] = field(factory=lambda: ["one two three four five"])
    #: Whether a context expires as soon as its audio was sent, or just before its next text arrives. Otherwise it never
    #: does.
    expires: Literal["at once", "before the next text"] | None = None
    #: What becomes of a text for a context that has expired, which Cartesia does not support.
    late_texts: Literal["refused", "lost", "spoken"] = "refused"
    #: The contexts that have expired.
    expired: set[str] = field(factory=set[str])
    #: The seconds of speech in each open context.
    contexts: dict[str, float] = field(factory=dict[str, float])

    async def speak(self, socket: FakeSocket) -> None:
        """Answer at `/tts/websocket`."""
        self.expired.clear()  # another connection may use the same names
        async for message in socket:
            context = message["context_id"]
            if message.get("cancel"):
                self.contexts.pop(context, None)
            elif not message.keys() >= FIELDS:
                await socket.send(self._error(400, context))
            else:
                if self.expires == "before the next text" and self.contexts.get(context):
                    await self._expire(socket, context)
                if context not in self.expired or self.late_texts == "spoken":
                    await self._say(socket, message, context)
                elif self.late_texts == "refused":
                    await socket.send(self._error(400, context))

    async def _expire(self, socket: FakeSocket, context: str) -> None:
        self.contexts.pop(context, None)
        self.expired.add(context)
        await socket.send({"type": "done", "context_id": context, "done": True, "status_code": 200})

    async def _say(self, socket: FakeSocket, message: Mapping[str, Any], context: str) -> None:
        at, rate = self.contexts.setdefault(context, 0.0), message["output_format"]["sample_rate"]
        about = {"context_id": context, "done": False, "status_code": 206}
        for word in message["transcript"].split():
            data = b64encode(tone(SPOKEN, rate)).decode()
            await socket.send({"type": "chunk", "data": data, "step_time": 12.3, **about})
            if message.get("add_timestamps"):  # after its audio
                times = {"words": [word], "start": [round(at, 3)], "end": [round(at + SPOKEN, 3)]}
                await socket.send({"type": "timestamps", "word_timestamps": times, **about})
            at += SPOKEN
        if context in self.contexts:
            self.contexts[context] = at
        if not message.get("continue") or self.expires == "at once":
            await self._expire(socket, context)

    @staticmethod
    def _error(status: int, context: str | None = None) -> dict[str, Any]:
        about = {"title": "Invalid model", "message": "It is not valid.", "error_code": "model_not_found"}
        error = {"type": "error", "done": True, "status_code": status, "request_id": REQUEST, **about}
        return error if context is None else {**error, "context_id": context}

    async def listen(self, socket: FakeSocket) -> None:
        """Answer at `/stt/websocket`."""
        rate, loud, shown, utterances, heard = int(socket.request.params["sample_rate"]), 0.0, 0, 0, 0.0
        async for message in socket:
            words = self.sentences[min(utterances, len(self.sentences) - 1)].split()
            if isinstance(message, bytes):
                seconds = len(message) / 2 / rate
                heard += seconds
                loud += seconds if is_loud(message) else 0.0
                if (count := min(len(words), math.floor(loud / HEARD))) > shown:
                    shown = count
                    await socket.send(self._transcript(words[:count], 0.0, final=False))
                continue
            if loud:  # in two parts, of which the second begins with a space
                half = len(words) // 2
                await socket.send(self._transcript(words[:half], heard - loud, final=True))
                await socket.send(self._transcript(words[half:], heard - loud + half * HEARD, final=True, space=True))
            loud, shown, utterances = 0.0, 0, utterances + 1
            if message == "close":
                await socket.send({"type": "done", "request_id": REQUEST})
                await socket.close()
                return
            await socket.send({"type": "flush_done", "request_id": REQUEST})

    async def find_turns(self, socket: FakeSocket) -> None:
        """Answer at `/stt/turns/websocket`."""
        rate, loud, silent, shown, turns = int(socket.request.params["sample_rate"]), 0.0, 0.0, 0, 0
        await socket.send({"type": "connected", "request_id": REQUEST})
        async for message in socket:
            words = self.sentences[min(turns, len(self.sentences) - 1)].split()
            if isinstance(message, bytes):
                seconds = len(message) / 2 / rate
                if is_loud(message):
                    if not loud:
                        await socket.send({"type": "turn.start", "request_id": REQUEST})
                    loud, silent = loud + seconds, 0.0
                else:
                    silent += seconds
                if (count := min(len(words), math.floor(loud / HEARD))) > shown:
                    shown = count
                    text = " ".join(words[:count])
                    await socket.send({"type": "turn.update", "request_id": REQUEST, "transcript": text})
            if loud and (silent >= 0.09 or not isinstance(message, bytes)):
                await socket.send({"type": "turn.end", "request_id": REQUEST, "transcript": " ".join(words)})
                loud, silent, shown, turns = 0.0, 0.0, 0, turns + 1
            if message == {"type": "close"}:
                await socket.close()
                return

    @staticmethod
    def _transcript(words: list[str], at: float, *, final: bool, space: bool = False) -> dict[str, Any]:
        times = [
            {"word": word, "start": round(at + n * HEARD, 3), "end": round(at + (n + 1) * HEARD, 3)}
            for n, word in enumerate(words)
        ]
        text = " " * space + " ".join(words)
        about = {"type": "transcript", "is_final": final, "request_id": REQUEST, "text": text}
        return {**about, "duration": len(words) * HEARD, "language": "en", "words": times}


@asynccontextmanager
async def cartesia() -> AsyncGenerator[Cartesia]:
    """Run the fake on a free port of this machine."""
    async with fake_vendor() as vendor:
        fake = Cartesia(vendor)
        vendor.on("/tts/websocket", fake.speak)
        vendor.on("/stt/websocket", fake.listen)
        vendor.on("/stt/turns/websocket", fake.find_turns)
        yield fake


@asynccontextmanager
async def tts_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit: speech."""
    async with cartesia() as fake:
        yield SocketVendor(
            fake.vendor,
            "/tts/websocket",
            fake.speak,
            is_piece=lambda each: each["type"] == "chunk",
            is_goodbye=lambda each: bool(each.get("cancel")),
        )


@asynccontextmanager
async def stt_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit: recognition."""
    async with cartesia() as fake:
        yield SocketVendor(
            fake.vendor, "/stt/websocket", fake.listen, is_piece=lambda each: each["type"] == "transcript"
        )
