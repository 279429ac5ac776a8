"""Fakes of vendors, as the plugins of LiveKit call them: OpenAI's chat models and voices, Deepgram, Cartesia."""

from __future__ import annotations

import base64
import json
import math
import struct
from array import array
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor, timeout_for
from rtvi_plugins_vendor.testing import Answer, FakeRequest, FakeSocket, FakeVendor, fake_vendor

__all__ = ("RATE", "SocketVendor", "cartesia", "deepgram", "openai_chat", "openai_speech", "tone")

RATE = 24_000
#: The shortest timeout, in seconds.
_TIMEOUT = 0.4


def tone(seconds: float) -> bytes:
    """Return a tone as 16-bit PCM."""
    return array("h", (round(8000 * math.sin(n / 8)) for n in range(int(seconds * RATE)))).tobytes()


#: The head of a WAV file without an end.
_WAV = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", 2**32 - 1
)


def _refuse(status: int, request: FakeRequest) -> object:
    code = "insufficient_quota" if status == 402 else None
    return {"error": {"message": f"Incorrect: {request.headers.get('authorization')}", "type": "x", "code": code}}


# ---- OpenAI ----------------------------------------------------------------------------------------------------------


_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small-1"}
_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def _event(*choices: Mapping[str, Any], **more: Any) -> bytes:
    return f"data: {json.dumps({**_CHUNK, 'choices': choices, **more})}\n\n".encode()


def _chunk(delta: Mapping[str, Any], **more: Any) -> bytes:
    return _event({"index": 0, "delta": delta, "finish_reason": None, **more})


_END = _event(usage=_USAGE) + b"data: [DONE]\n\n"

#: An answer in two pieces, and one with a call.
TEXT = [
    _chunk({"role": "assistant", "content": "Good"}),
    _chunk({"content": " day."}) + _chunk({}, finish_reason="stop") + _END,
]
CALL = [
    _chunk(
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "book_room", "arguments": '{"nig'},
                }
            ],
        }
    ),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'hts": 3}'}}]})
    + _chunk({}, finish_reason="tool_calls")
    + _END,
]


def openai_chat(answer: list[bytes] = TEXT) -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run OpenAI's chat models."""
    # LiveKit does not wait for `data: [DONE]`, as the readme says.
    return scripted_vendor(
        "/v1/chat/completions", answer, refuse=_refuse, base="/v1", timeout=_TIMEOUT, end_event=False
    )


def openai_speech() -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run OpenAI's voices. The audio is a WAV file."""
    parts = [_WAV + tone(0.4), tone(0.4)]
    headers = {"content-type": "audio/wav"}
    return scripted_vendor(
        "/v1/audio/speech", parts, refuse=_refuse, headers=headers, base="/v1", timeout=_TIMEOUT, end_event=False
    )


# ---- vendors with a WebSocket ----------------------------------------------------------------------------------------

Talk = Callable[[FakeSocket, str], Coroutine[Any, Any, None]]


@define(eq=False)
class SocketVendor:
    """A fake vendor at one path of a WebSocket. It has the members that `check_providers` needs."""

    vendor: FakeVendor
    service_options: Mapping[str, Any]
    _path: str
    _talk: Talk = field(repr=False)
    _sockets: list[FakeSocket] = field(factory=list[FakeSocket])
    end_event: bool = True

    def script(self, name: str, /) -> None:
        """Follow one of the kit's scripts."""
        self.service_options = {**self.service_options, "timeout": timeout_for(_TIMEOUT, name)}
        if name.isdigit():
            headers = {"retry-after": "7"} if name == "429" else {}
            self.vendor.on(self._path, Answer(int(name), lambda request: _refuse(int(name), request), headers=headers))
            return

        async def talk(socket: FakeSocket) -> None:
            self._sockets.append(socket)
            await self._talk(socket, name)

        self.vendor.on(self._path, talk)

    async def fail(self) -> None:
        """Cut all connections, and refuse new ones."""
        self.script("500")
        for each in self._sockets:
            await each.cut()

    async def wait_until_left(self) -> None:
        """Return when the client has left the last connection."""
        await self.vendor.requests[-1].outcome()


@asynccontextmanager
async def _sockets(path: str, base: str, talk: Talk) -> AsyncGenerator[SocketVendor]:
    async with fake_vendor() as vendor:
        found = SocketVendor(vendor, {"base_url": vendor.url + base}, path, talk)
        found.script("answer")
        yield found


def deepgram() -> AbstractAsyncContextManager[SocketVendor]:
    """Run Deepgram's recognition: an interim text after the first second, and a final one when it is asked for it."""
    return _sockets("/v1/listen", "/v1/listen", _recognise)


def _result(text: str, *, final: bool) -> dict[str, Any]:
    words = [
        {"word": each, "start": n / 2, "end": n / 2 + 0.4, "confidence": 0.9} for n, each in enumerate(text.split())
    ]
    return {
        "type": "Results",
        "is_final": final,
        "speech_final": final,
        "start": 0.0,
        "duration": 1.0,
        "metadata": {"request_id": "request-1"},
        "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": words}]},
    }


async def _recognise(socket: FakeSocket, script: str) -> None:
    heard, said = 0, False
    async for message in socket:
        if isinstance(message, bytes):
            heard += len(message)
            if not said and script != "silent":
                said = True
                if script == "malformed":
                    await socket.send("no JSON")
                    return
                await socket.send(_result("two nights", final=False))
                if script == "cut":
                    await socket.cut()
                    return
                if script == "unfinished":
                    await socket.close()
                    return
        elif message.get("type") == "Finalize" and script == "answer":
            await socket.send(_result("two nights please", final=True))
        elif message.get("type") == "CloseStream" and script == "answer":
            await socket.send({"type": "Metadata", "duration": heard / 32_000})
            await socket.close()
            return


def cartesia() -> AbstractAsyncContextManager[SocketVendor]:
    """Run Cartesia's voices: a tone for each piece of text, with its words."""
    return _sockets("/tts/websocket", "", _speak)


async def _speak(socket: FakeSocket, script: str) -> None:
    at = 0.0
    async for message in socket:
        if script == "silent":
            continue
        context: str = message.get("context_id")
        text: str = message.get("transcript", "").strip()
        if script == "malformed":
            await socket.send("no JSON")
            return
        if text:
            words = text.split()
            starts = [at + 0.2 * n for n in range(len(words))]
            times = {"words": words, "start": starts, "end": [each + 0.2 for each in starts]}
            await socket.send({"type": "timestamps", "context_id": context, "word_timestamps": times})
            data = base64.b64encode(tone(0.2 * len(words))).decode()
            await socket.send({"type": "chunk", "context_id": context, "done": False, "data": data, "step_time": 1.0})
            at += 0.2 * len(words)
            if script == "cut":
                await socket.cut()
                return
            if script == "unfinished":
                await socket.close()
                return
        if not message.get("continue") and script == "answer":
            at = 0.0
            await socket.send({"type": "done", "context_id": context, "done": True})
