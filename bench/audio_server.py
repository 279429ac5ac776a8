"""A bot that never stops talking behind our server plugin: `python bench/audio_server.py`. It prints its port.

It also has two echoes. Both answer each frame of the user's with one of the bot's; `/codec` decodes and encodes them.
`python bench/audio_server.py plain` has them on uvicorn without our plugin.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.lowlevel
import voices
from attrs import define
from bots import UNBOUNDED
from echo import Echo, serve_plain
from measure import MEASURED, pin
from starlette.routing import WebSocketRoute
from voices import RATE

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse, service
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest, Text, TTSPiece, TTSRequest
from rtvi_plugins_server import create_app
from rtvi_plugins_server._protobuf import decode, encode
from rtvi_plugins_server._uvicorn.connections import ConnectionLimits
from rtvi_plugins_server._uvicorn.server import make_server

#: What the bot says: more than any client listens to. Each sentence takes as long as a person needs for it.
SENTENCES, SENTENCE_SECONDS = 60, 3.0
_SENTENCE = "This is a sentence of about as many words as one. "
#: How much a TTS makes at a time, and how much is sent at a time.
_PIECE = Audio(bytes(2 * RATE // 10), RATE)
_FRAME = Audio(bytes(2 * RATE // 50), RATE)
#: All load comes from one address.
LIMITS = ConnectionLimits(connections=10_000, connections_per_address=10_000)


@define
class Talking:
    """A TTS that makes long speech without delay."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        for _ in range(SENTENCES):
            yield Text(_SENTENCE)
            await anyio.lowlevel.checkpoint()

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            for _ in range(round(SENTENCE_SECONDS * 10)):
                yield _PIECE


@service("llm", "talking")
@asynccontextmanager
async def talking_llm() -> AsyncGenerator[Talking]:
    """Answers at length."""
    yield Talking()


@service("tts", "talking")
@asynccontextmanager
async def talking_tts() -> AsyncGenerator[Talking]:
    """Is silent for as long as a sentence takes."""
    yield Talking()


@bot(
    services={"stt": "timed", "llm": "talking", "tts": "talking", "vad": "loud"},
    client=["llm:run"],
    public=True,
)
async def narrator(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Talks without end, and listens meanwhile."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


def _bare(data: str | bytes) -> bytes:
    return _ENCODED


def _coded(data: str | bytes) -> bytes:
    assert isinstance(data, bytes)
    assert isinstance(decode(data), Audio)
    return encode(_FRAME, 1)


_ENCODED = encode(_FRAME, 1)


def main() -> None:
    pin(MEASURED)
    if sys.argv[1:] == ["plain"]:
        serve_plain(socket.create_server(("127.0.0.1", 0), backlog=512), {"/echo": _bare, "/codec": _coded})
        return
    host = Host(narrator, modules=[sys.modules[__name__], voices], environ={}, limits=UNBOUNDED)
    app = create_app(host)
    app.router.routes[:0] = [WebSocketRoute("/echo", Echo(_bare)), WebSocketRoute("/codec", Echo(_coded))]
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    server = make_server(app, host, drain_seconds=0, ready=lambda: print(port, flush=True), limits=LIMITS)
    server.run([listener])


if __name__ == "__main__":
    main()
