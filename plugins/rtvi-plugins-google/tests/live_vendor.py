"""Google's Live API for tests, over a real WebSocket: it hears loud audio, and answers with prepared answers."""

from __future__ import annotations

import json
import re
from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, fake_vendor

__all__ = ("CALL", "PATH", "SOUND", "LiveServer", "camel", "live_vendor")

PATH = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
#: What it says in an answer: the audio of two messages, 0.1 s each.
SOUND = [array("h", [1000] * 2400).tobytes(), array("h", [-1000] * 2400).tobytes()]
#: A function call.
CALL: dict[str, Any] = {"id": "f1", "name": "book_room", "args": {"nights": 3}}
USAGE = {"promptTokenCount": 40, "responseTokenCount": 20, "thoughtsTokenCount": 4, "totalTokenCount": 64}


@define(eq=False)
class LiveServer:
    """One vendor. `answers` has function calls, the content of an answer, or None for speech. The last one stays."""

    answers: list[Mapping[str, Any] | None] = field(factory=lambda: [None])
    #: Sent after the first answer.
    notice: Mapping[str, Any] | None = None
    #: An answer stops after its first audio until it is interrupted.
    holds: bool = False
    #: It reports where speech begins and ends, as newer models do.
    reports_speech: bool = False
    _detects: bool = True
    _speaking: bool = False
    _quiet: int = 0
    _held: bool = False
    _calls: list[str] = field(factory=list[str])

    async def talk(self, socket: FakeSocket) -> None:
        """Talk to a client."""
        async for message in socket:
            match camel(message):
                case {"setup": setup}:
                    self._detects = not setup["realtimeInputConfig"]["automaticActivityDetection"].get("disabled")
                    await _send(socket, {"setupComplete": {}})
                case {"realtimeInput": {"audio": {"data": data}}} if self._detects:
                    await self._hear(socket, b64decode(data))
                case {"realtimeInput": {"audioStreamEnd": True}} if self._speaking:
                    await self._answer_speech(socket)
                case {"realtimeInput": {"text": _}} if self._detects:
                    await self._interrupt(socket)
                    await self._answer(socket)
                case {"realtimeInput": {"activityStart": _}}:
                    await self._interrupt(socket)
                case {"realtimeInput": {"activityEnd": _}}:
                    await self._answer_speech(socket)
                case {"toolResponse": _} if self._calls:
                    self._calls.clear()
                    await self._answer(socket)
                case _:  # audio, text or history that needs no answer
                    pass

    async def _hear(self, socket: FakeSocket, audio: bytes) -> None:
        """Find speech: loud audio begins it, and 0.3 s of silence ends it."""
        loud = is_loud(audio)
        self._quiet = 0 if loud else self._quiet + len(audio)
        if loud and not self._speaking:
            self._speaking = True
            await self._report(socket, "ACTIVITY_START")
            await self._interrupt(socket)
        elif self._speaking and self._quiet > 0.3 * 32_000:
            await self._answer_speech(socket)

    async def _answer_speech(self, socket: FakeSocket) -> None:
        self._speaking = False
        for word in ("Three ", "nights."):
            await _send(socket, {"serverContent": {"inputTranscription": {"text": word, "languageCode": "en-US"}}})
        await self._report(socket, "ACTIVITY_END")
        await self._answer(socket)

    async def _report(self, socket: FakeSocket, activity: str) -> None:
        if self.reports_speech and self._detects:
            await _send(socket, {"voiceActivity": {"voiceActivityType": activity}})

    async def _interrupt(self, socket: FakeSocket) -> None:
        """End the turn that is held, or that waits for a function."""
        if self._calls:
            await _send(socket, {"toolCallCancellation": {"ids": self._calls}})
        if self._held or self._calls:
            self._held = False
            self._calls.clear()
            await _send(socket, {"serverContent": {"interrupted": True}})
            await _send(socket, {"serverContent": {"turnComplete": True}, "usageMetadata": USAGE})

    async def _answer(self, socket: FakeSocket) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await self._speak(socket)
        elif "id" in answer:
            self._calls.append(answer["id"])
            await _send(socket, {"toolCall": {"functionCalls": [answer]}, "usageMetadata": USAGE})
        else:
            await _send(socket, {"serverContent": answer})
        notice, self.notice = self.notice, None
        if notice is not None:
            await _send(socket, notice)

    async def _speak(self, socket: FakeSocket) -> None:
        for word, sound in zip(("Good ", "day."), SOUND, strict=True):
            blob = {"mimeType": "audio/pcm;rate=24000", "data": b64encode(sound).decode()}
            await _send(socket, {"serverContent": {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}})
            await _send(socket, {"serverContent": {"outputTranscription": {"text": word}}})
            if self.holds:
                self._held = True
                return
        await _send(socket, {"serverContent": {"generationComplete": True}})
        await _send(socket, {"serverContent": {"turnComplete": True}, "usageMetadata": USAGE})


def camel(message: object) -> Any:
    """Return a JSON value with names in camel case. The SDK also sends others, which the vendor reads as well."""
    return json.loads(re.sub(r'"\w+":', lambda name: re.sub("_(.)", _upper, name[0]), json.dumps(message)))


def _upper(found: re.Match[str]) -> str:
    return found[1].upper()


async def _send(socket: FakeSocket, message: Mapping[str, Any]) -> None:
    await socket.send(json.dumps(message).encode())  # JSON in a binary frame, as Google sends it


@asynccontextmanager
async def live_vendor(server: LiveServer | None = None) -> AsyncGenerator[SocketVendor]:
    """Run a vendor of speech-to-speech models. By default, it answers with speech."""
    server = server or LiveServer()
    async with fake_vendor() as vendor:
        yield SocketVendor(vendor, PATH, server.talk, _is_piece)


def _is_piece(message: Any) -> bool:
    return b"modelTurn" in message
