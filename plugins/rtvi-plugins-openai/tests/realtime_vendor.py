"""OpenAI's Realtime API for tests, over a real WebSocket: it hears loud audio, and answers with prepared answers."""

from __future__ import annotations

import itertools
from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import is_loud
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, fake_vendor

__all__ = ("CALL", "SOUND", "RealtimeServer", "kinds_of", "realtime_vendor")

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
    #: The next answer fails, or the next event is refused, with this code.
    fails: str | None = None
    refuses: str | None = None
    #: No speech of the user is transcribed to its end.
    fails_to_transcribe: bool = False
    _ids: itertools.count[int] = field(factory=itertools.count)
    _speaking: str | None = None
    _quiet: int = 0
    _held: tuple[dict[str, Any], str] | None = None

    async def talk(self, socket: FakeSocket) -> None:
        """Talk to a client."""
        await self._send(socket, "session.created", session=self._session({}))
        async for event in socket:
            if self.refuses is not None and event["type"] == "response.create":
                error = {"type": "invalid_request_error", "code": self.refuses, "message": "words of a vendor"}
                self.refuses = None
                await self._send(socket, "error", error={**error, "param": None, "event_id": event.get("event_id")})
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
                    await self._answer(socket, event.get("response", {}).get("metadata"))
                case {"type": "response.cancel"} if self._held:
                    await self._done(socket, *self._held, "cancelled")
                case {"type": "response.cancel"}:
                    error = {"type": "invalid_request_error", "code": "response_cancel_not_active", "message": "none"}
                    await self._send(socket, "error", error={**error, "param": None, "event_id": event["event_id"]})
                case {"type": "conversation.item.truncate", "item_id": item, "audio_end_ms": end}:
                    where = {"item_id": item, "content_index": 0}
                    await self._send(socket, "conversation.item.truncated", audio_end_ms=end, **where)
                case _:
                    raise AssertionError(event)

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._ids)}"

    def _session(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "small", **given}

    async def _send(self, socket: FakeSocket, type: str, **data: Any) -> None:
        await socket.send({"type": type, "event_id": self._id("event"), **data})

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
            await self._answer(socket, None)

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

    async def _answer(self, socket: FakeSocket, metadata: Any) -> None:
        call = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response: dict[str, Any] = {
            "id": self._id("resp"),
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
        }
        response |= {"status_details": None, "usage": None, "metadata": metadata}
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
        where: dict[str, Any] = {**about, "item_id": item, "content_index": 0}
        for word, sound in zip(("Good ", "day."), SOUND, strict=True):
            await self._send(socket, "response.output_audio_transcript.delta", delta=word, **where)
            await self._send(socket, "response.output_audio.delta", delta=b64encode(sound).decode(), **where)
            if self.holds:
                self._held = (response, item)
                return
        await self._done(socket, response, item, "completed")

    async def _done(self, socket: FakeSocket, response: dict[str, Any], item: str, status: str) -> None:
        self._held = None
        await self._send(socket, "response.done", response={**response, "status": status, "usage": USAGE})


@asynccontextmanager
async def realtime_vendor(server: RealtimeServer | None = None) -> AsyncGenerator[SocketVendor]:
    """Run a vendor of speech-to-speech models. By default, it answers with speech."""
    server = server or RealtimeServer()
    async with fake_vendor() as vendor:
        yield SocketVendor(vendor, "/realtime", server.talk, _is_piece)


def _is_piece(message: Any) -> bool:
    return str(message["type"]).startswith("response.output_audio")


def kinds_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the types of events, without those of audio."""
    return [each["type"] for each in messages if each["type"] != "input_audio_buffer.append"]
