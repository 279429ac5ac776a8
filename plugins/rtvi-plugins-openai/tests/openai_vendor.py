"""OpenAI for tests, over a real socket: each endpoint answers and fails as the conformance kit says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from openai_server import Says, calling, saying

from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import Answer, FakeRequest

__all__ = (
    "CALLS",
    "CHAT",
    "SOUND",
    "TRANSCRIPT",
    "OneByOne",
    "chat_vendor",
    "events",
    "refuse",
    "speech_vendor",
    "transcription_vendor",
)

#: The values of `code` and `type` by status, as OpenAI's page of error codes has them.
_ERRORS: Mapping[int, tuple[str | None, str]] = {
    400: (None, "invalid_request_error"),
    401: ("invalid_api_key", "invalid_request_error"),
    402: ("insufficient_quota", "insufficient_quota"),
    429: ("rate_limit_exceeded", "requests"),
    500: (None, "server_error"),
}


def refuse(status: int, request: FakeRequest) -> object:
    """Return an error as OpenAI sends it. It quotes the key."""
    code, type = _ERRORS[status]
    message = f"Incorrect: {request.headers.get('authorization')}"
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def events(*data: Mapping[str, Any] | str) -> bytes:
    """Return server-sent events."""
    return b"".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n".encode() for each in data)


def _parts(answer: Says) -> list[bytes]:
    first, second, *others = answer.chunks  # the first chunk has the role, and the second the first piece
    return [events(first, second), events(*others, "[DONE]")]


#: An answer in text, and one with a function call.
CHAT = _parts(saying("Good", " day."))
CALLS = _parts(calling(("call_1", "book_room", '{"nights": 3}')))


@asynccontextmanager
async def chat_vendor(*, answer: list[bytes] = CHAT) -> AsyncGenerator[ScriptedVendor]:
    """Run a vendor of chat models."""
    async with scripted_vendor("/v1/chat/completions", answer, refuse=refuse, base="/v1") as scripted:
        models = {"object": "list", "data": [{"id": "small-1", "object": "model"}]}
        scripted.vendor.on("/v1/models", Answer(json=models, headers={"connection": "close"}))
        yield scripted


# ---- speech ----------------------------------------------------------------------------------------------------------


class OneByOne(AsyncIterator[Any]):
    """Yields items, as a session does. It is not a generator, because nobody would close that."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = iter(items)

    async def __anext__(self) -> Any:
        await anyio.lowlevel.checkpoint()
        for item in self._items:
            return item
        raise StopAsyncIteration


USAGE = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
#: A transcript in two pieces.
TRANSCRIPT = [
    events({"type": "transcript.text.delta", "delta": "Good "}),
    events({"type": "transcript.text.delta", "delta": "day."})
    + events({"type": "transcript.text.done", "text": "Good day.", "languages": [{"code": "en"}], "usage": USAGE}),
]
#: Audio in two chunks, of which the first ends within a sample.
SOUND = [bytes(range(255)), bytes(range(255, 0, -1)) + b"\0\0"]


def transcription_vendor(answer: list[bytes] = TRANSCRIPT) -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run a vendor of transcripts."""
    path, malformed = "/v1/audio/transcriptions", events({"type": "transcript.text.done"})
    return scripted_vendor(path, answer, refuse=refuse, base="/v1", malformed=malformed)


def speech_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run a vendor of voices."""
    headers, malformed = {"content-type": "audio/pcm"}, Answer(json={}, headers={"connection": "close"})
    path = "/v1/audio/speech"
    return scripted_vendor(
        path, SOUND, refuse=refuse, base="/v1", headers=headers, malformed=malformed, end_event=False
    )
