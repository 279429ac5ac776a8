"""OpenAI's Realtime API for tests, over a real WebSocket: it hears loud audio, and answers with prepared answers."""

from __future__ import annotations

import itertools
import math
from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, fake_vendor

__all__ = ("CALL", "SOUND", "RealtimeServer", "kinds_of", "reading_vendor", "realtime_vendor")

#: What it says in an answer: the audio of two deltas, 0.1 s each.
SOUND = [array("h", [1000] * 2400).tobytes(), array("h", [-1000] * 2400).tobytes()]
#: An answer with a function call.
CALL = {"name": "book_room", "call_id": "call_1", "arguments": '{"nights": 3}'}
USAGE = {
    "total_tokens": 60,
    "input_tokens": 40,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 30, "cached_tokens": 8},
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}


@define(eq=False)
class RealtimeServer:
    """One vendor. `answers` has function calls, or None for speech. The last one stays."""

    answers: list[Mapping[str, Any] | None] = field(factory=lambda: [None])
    #: An answer stops after its first audio until it is cancelled.
    holds: bool = False
    #: Set when an answer is asked for. If there is another event, the answer begins when that is set.
    asked: anyio.Event = field(factory=anyio.Event)
    may_begin: anyio.Event | None = None
    #: The next answer fails, or the next event is refused, with this code.
    fails: str | None = None
    refuses: str | None = None
    #: Answers end without audio, or are cut short for this reason.
    is_mute: bool = False
    cut_short: str | None = None
    #: How many answers a connection has. It is closed when another one is asked for, as the vendor does after an hour.
    answers_of_connection: float = math.inf
    #: No speech of the user is transcribed to its end.
    fails_to_transcribe: bool = False
    _ids: itertools.count[int] = field(factory=itertools.count)
    _speaking: str | None = None
    _quiet: int = 0
    _held: tuple[dict[str, Any], str] | None = None

    async def talk(self, socket: FakeSocket) -> None:
        """Talk to a client."""
        asked = 0
        await self._send(socket, "session.created", session=self._session({}))
        async for event in socket:
            asked += event["type"] == "response.create"
            if asked > self.answers_of_connection:
                await self._refuse(socket, "session_expired", None)
                return
            if self.refuses is not None and event["type"] == "response.create":
                code, self.refuses = self.refuses, None
                await self._refuse(socket, code, event.get("event_id"))
                continue
            match event:
                case {"type": "session.update", "session": session}:
                    await self._send(socket, "session.updated", session=self._session(session))
                case {"type": "conversation.item.create", "item": item}:
                    item = {"id": self._id("item"), "object": "realtime.item", "status": "completed", **item}
                    await self._send(socket, "conversation.item.added", previous_item_id=None, item=item)
                case {"type": "input_audio_buffer.append", "audio": audio}:
                    await self._hear(socket, b64decode(audio))
                case {"type": "input_audio_buffer.commit"}:
                    await self._commit(socket, self._id("item"))
                case {"type": "response.create"}:
                    await self._answer(socket, event.get("response", {}))
                case {"type": "response.cancel"} if self._held and self._is_meant(event):
                    await self._done(socket, *self._held, "cancelled")
                case {"type": "response.cancel"}:
                    await self._refuse(socket, "response_cancel_not_active", event["event_id"])
                case {"type": "conversation.item.truncate", "item_id": item, "audio_end_ms": end}:
                    where = {"item_id": item, "content_index": 0}
                    await self._send(socket, "conversation.item.truncated", audio_end_ms=end, **where)
                case _:
                    raise AssertionError(event)

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._ids)}"

    def _is_meant(self, cancel: Mapping[str, Any]) -> bool:
        """Return whether an event cancels the answer that is held. One outside of the conversation must be named."""
        assert self._held is not None
        answer = self._held[0]
        id = str(answer["id"])
        named = cancel.get("response_id")
        return named == id if named else bool(answer["conversation_id"])

    def _session(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "small", **given}

    async def _send(self, socket: FakeSocket, type: str, **data: Any) -> None:
        await socket.send({"type": type, "event_id": self._id("event"), **data})

    async def _refuse(self, socket: FakeSocket, code: str, event: str | None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "words of a vendor", "param": None}
        await self._send(socket, "error", error={**error, "event_id": event})

    # ---- hearing -----------------------------------------------------------------------------------------------------

    async def _hear(self, socket: FakeSocket, audio: bytes) -> None:
        """Find speech: loud audio begins it, and 0.3 s of silence ends it."""
        loud = is_loud(audio[-48:])  # the last half of a millisecond: a message may end in silence
        self._quiet = 0 if loud else self._quiet + len(audio)
        if loud and self._speaking is None:
            self._speaking = self._id("item")
            await self._send(socket, "input_audio_buffer.speech_started", audio_start_ms=0, item_id=self._speaking)
            if self._held:
                await self._done(socket, *self._held, "cancelled")
        elif self._speaking is not None and self._quiet > 0.3 * 48_000:
            item, self._speaking = self._speaking, None
            await self._send(socket, "input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item)
            await self._commit(socket, item)
            await self._answer(socket, {})

    async def _commit(self, socket: FakeSocket, item: str) -> None:
        await self._send(socket, "input_audio_buffer.committed", previous_item_id=None, item_id=item)
        about = {"item_id": item, "content_index": 0}
        prefix = "conversation.item.input_audio_transcription"
        for word in ("Three ", "nights."):
            await self._send(socket, f"{prefix}.delta", delta=word, **about)
        if self.fails_to_transcribe:
            error = {"type": "transcription_error", "code": "audio_unintelligible", "message": "", "param": None}
            await self._send(socket, f"{prefix}.failed", **about, error=error)
            return
        usage = {"type": "duration", "seconds": 1}
        done = {"transcript": "Three nights.", "usage": usage, "languages": [{"code": "en"}]}
        await self._send(socket, f"{prefix}.completed", **about, **done)

    # ---- answering ---------------------------------------------------------------------------------------------------

    async def _answer(self, socket: FakeSocket, asked: Mapping[str, Any]) -> None:
        self.asked.set()
        if self.may_begin is not None:
            await self.may_begin.wait()
        call = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response: dict[str, Any] = {
            "id": self._id("resp"),
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
        }
        conversation = None if asked.get("conversation") == "none" else "conv_1"
        response |= {"conversation_id": conversation, "metadata": asked.get("metadata")}
        response |= {"status_details": None, "usage": None}
        await self._send(socket, "response.created", response=response)
        item = self._id("item")
        about = {"response_id": response["id"], "output_index": 0}
        if self.fails is not None:
            error = {"type": "server_error", "code": self.fails}
            failed = {**response, "status": "failed", "status_details": {"type": "failed", "error": error}}
            await self._send(socket, "response.done", response=failed)
            return
        if call is not None:
            whole = {"id": item, "object": "realtime.item", "type": "function_call", "status": "completed", **call}
            await self._send(socket, "response.output_item.added", item={**whole, "arguments": ""}, **about)
            await self._send(socket, "response.output_item.done", item=whole, **about)
            await self._done(socket, response, item, "completed")
            return
        if self.is_mute:
            await self._done(socket, response, item, "completed")
            return
        where: dict[str, Any] = {**about, "item_id": item, "content_index": 0}
        for word, sound in zip(("Good ", "day."), SOUND, strict=True):
            await self._send(socket, "response.output_audio_transcript.delta", delta=word, **where)
            await self._send(socket, "response.output_audio.delta", delta=b64encode(sound).decode(), **where)
            if self.holds:
                self._held = (response, item)
                return
        if self.cut_short is not None:
            response["status_details"] = {"type": "incomplete", "reason": self.cut_short}
        await self._done(socket, response, item, "incomplete" if self.cut_short else "completed")

    async def _done(self, socket: FakeSocket, response: dict[str, Any], item: str, status: str) -> None:
        if self._held and response["conversation_id"] is None:  # audio was on its way when the answer was cancelled
            where = {"response_id": response["id"], "output_index": 0, "item_id": item, "content_index": 0}
            await self._send(socket, "response.output_audio.delta", delta=b64encode(SOUND[1]).decode(), **where)
        self._held = None
        await self._send(socket, "response.done", response={**response, "status": status, "usage": USAGE})


@asynccontextmanager
async def realtime_vendor(server: RealtimeServer | None = None) -> AsyncGenerator[SocketVendor]:
    """Run a vendor of speech-to-speech models. By default, it answers with speech."""
    server = server or RealtimeServer()
    async with fake_vendor() as vendor:
        yield SocketVendor(vendor, "/realtime", server.talk, _is_piece)


@asynccontextmanager
async def reading_vendor(server: RealtimeServer | None = None) -> AsyncGenerator[SocketVendor]:
    """Run a vendor whose model reads texts aloud."""
    server = server or RealtimeServer()
    async with fake_vendor() as vendor:
        yield SocketVendor(vendor, "/realtime", server.talk, _is_sound, _is_cancel)


def _is_sound(message: Any) -> bool:
    return bool(message["type"] == "response.output_audio.delta")


def _is_cancel(message: Any) -> bool:
    return bool(message["type"] == "response.cancel")


def _is_piece(message: Any) -> bool:
    return str(message["type"]).startswith("response.output_audio")


def kinds_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the types of events, without those of audio."""
    return [each["type"] for each in messages if each["type"] != "input_audio_buffer.append"]
