"""The fakes of all vendors in one process: `server.py` prints its port, and serves until its input ends.

They are those of the plugins' tests, which the vendors' own SDKs read too (`nox -s sdks`). Their answers are longer
here, and each piece comes a moment after the one before. `GET /_log` returns what was noted since `GET /_reset`.
"""
# pyright: basic

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from measure import LOADING, pin
from vendors.workload import GAP_SECONDS, PIECES, SENTENCE, WAIT_SECONDS

from rtvi_plugins_vendor.provider_tests import tone
from rtvi_plugins_vendor.testing import Answer, FakeRequest, FakeSocket, FakeVendor, fake_vendor

_BENCH = Path(__file__).resolve().parents[1]
sys.path += [str(_BENCH), *(str(each) for each in sorted(_BENCH.parent.glob("plugins/*/tests")))]
_EVENTS = {"content-type": "text/event-stream"}
_LAST = SENTENCE.split()[-1]


@define
class Log:
    """The last request: the pieces that were sent, when the first one was sent, and when the client asked to stop.

    Some clients say goodbye after each request, so several times are noted.
    """

    sent: int = 0
    first: float | None = None
    told: list[float] = field(factory=list[float])
    #: When each message of a socket came, and when each was sent, also those with the last word.
    messages: list[float] = field(factory=list[float])
    answers: list[float] = field(factory=list[float])
    last_words: list[float] = field(factory=list[float])
    #: The socket of the last piece.
    speaker: object = None

    def piece(self) -> None:
        """Note that a piece is sent now."""
        self.first = self.first or time.monotonic()
        self.sent += 1

    def reset(self) -> dict[str, Any]:
        """Forget what was noted."""
        self.sent, self.first, self.told = 0, None, []
        self.messages, self.answers, self.last_words = [], [], []
        return {}

    def told_of(self, requests: list[FakeRequest]) -> dict[str, Any]:
        """Return what was noted."""
        last = next((each for each in reversed(requests) if not each.path.startswith("/_")), None)
        left = last.ended_at if last is not None and last.state == "left" else None
        told = self.told + ([left] if left else [])
        times = {"messages": self.messages, "answers": self.answers, "last_words": self.last_words}
        return {"sent": self.sent, "first": self.first, "told": told, **times}


# ---- over HTTP -------------------------------------------------------------------------------------------------------


@define
class Parts:
    """The parts of an answer, which notes when each one is sent."""

    parts: list[bytes]
    log: Log

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self.log.piece()
            yield part


def _paced(parts: list[bytes], log: Log, headers: Mapping[str, str] = _EVENTS) -> Answer:
    paced: Any = Parts(parts, log)
    return Answer(parts=paced, headers=headers, wait=WAIT_SECONDS, pause=GAP_SECONDS)


def _serve_http(vendor: FakeVendor, log: Log) -> None:
    words = [f"word{number} " for number in range(PIECES)]
    openai_vendor, anthropic, google = map(import_module, ("openai_vendor", "anthropic_vendor", "google_vendor"))
    role, *chunks = import_module("openai_server").saying(*words).chunks
    chunks[-1] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", **chunks[-1]}  # LiveKit insists on it
    events = openai_vendor.events
    first, *rest = chunks[:PIECES]
    parts = [events(role, first), *map(events, rest[:-1]), events(rest[-1], *chunks[PIECES:], "[DONE]")]
    vendor.on("/v1/chat/completions", _paced(parts, log))
    *parts, last, stop, ended = anthropic.saying(*words)
    vendor.on("/v1/messages", _paced([*parts, last + stop + ended], log))
    *chunks, last, ended = google.saying(*words)
    for version in ("v1", "v1beta"):
        vendor.on(f"/{version}/models/gemini-3.8-flash:streamGenerateContent", _paced([*chunks, last + ended], log))
    sound = [tone(0.1, 24_000)] * PIECES
    vendor.on("/v1/audio/speech", _paced(sound, log, {"content-type": "audio/pcm"}))
    vendor.on("/http/v1/speak", _paced(sound, log, {"content-type": "audio/pcm"}))  # how our bridge asks Deepgram
    # Ours asks for a stream of events. The others ask for one object, which they find at another base URL.
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    whole = {"text": SENTENCE, "usage": usage}
    deltas = [events({"type": "transcript.text.delta", "delta": f"{each} "}) for each in SENTENCE.split()]
    done = events({"type": "transcript.text.done", **whole})
    vendor.on("/v1/audio/transcriptions", Answer(parts=[*deltas, done], headers=_EVENTS))
    vendor.on("/whole/v1/audio/transcriptions", Answer(json=whole))


# ---- over WebSockets -------------------------------------------------------------------------------------------------


@define(eq=False)
class Timed(FakeSocket):
    """A socket that sends pieces one by one, and that hears a goodbye meanwhile."""

    log: Log | None = None
    is_piece: Callable[[Any], bool] = bool
    is_goodbye: Callable[[Any], bool] = bool
    #: Whether a goodbye stops what is being said. Otherwise only the fake decides.
    obeys: bool = True
    _queue: tuple[MemoryObjectSendStream[Any], MemoryObjectReceiveStream[Any]] = field(
        factory=lambda: anyio.create_memory_object_stream[Any](10_000)
    )
    _stopped: bool = False
    _writing: anyio.Lock = field(factory=anyio.Lock)

    async def _write(self, event: Any, *, half: bool = False) -> None:
        async with self._writing:  # who reads answers pings and the close frame
            await super()._write(event, half=half)

    async def run(self, talk: Callable[[FakeSocket], Awaitable[None]]) -> None:
        """Have the fake talk."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            with suppress(LookupError):  # of a message that the fake does not know, such as pipecat's `close_socket`
                await talk(self)
            tasks.cancel_scope.cancel()

    async def send(self, message: bytes | str | Mapping[str, Any]) -> None:
        assert self.log is not None
        if self.is_piece(message):
            if self._stopped:
                return
            await anyio.sleep(GAP_SECONDS)
            self.log.piece()
            self.log.speaker = self
        else:  # not of speech, in which it would take long to look for a word
            self.log.answers.append(time.monotonic())
            if _LAST in str(message):
                self.log.last_words.append(self.log.answers[-1])
        await super().send(message)

    async def _read(self) -> None:
        assert self.log is not None
        with self._queue[0] as queue:
            while True:
                try:
                    message = await super().__anext__()
                except StopAsyncIteration:
                    break
                self.log.messages.append(time.monotonic())
                if self.is_goodbye(message):
                    self._stopped = self.obeys
                    self.log.told.append(time.monotonic())
                queue.send_nowait(message)
            self._stopped = True
            if self.log.speaker is self:
                self.log.told.append(time.monotonic())

    async def __anext__(self) -> Any:
        try:
            message = await self._queue[1].receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        self._stopped = self._stopped and self.is_goodbye(message)
        return message


def _nothing(message: Any) -> bool:
    return False


@asynccontextmanager
async def _sockets(log: Log) -> AsyncGenerator[FakeVendor]:
    deepgram, cartesia, eleven, assembly = (
        import_module(f"{name}_server") for name in ("deepgram", "cartesia", "elevenlabs", "assemblyai")
    )
    async with fake_vendor() as vendor:

        def on(path: str, talk: Any, is_piece: Any = _nothing, is_goodbye: Any = _nothing, obeys: bool = True) -> None:
            async def script(socket: FakeSocket) -> None:
                timed = Timed(
                    socket.request,
                    socket._stream,
                    socket._connection,
                    log=log,
                    is_piece=is_piece,
                    is_goodbye=is_goodbye,
                    obeys=obeys,
                )
                await timed.run(talk)

            vendor.on(path, script)

        hears, says = deepgram.Deepgram(vendor, sentences=[SENTENCE]), cartesia.Cartesia(vendor, sentences=[SENTENCE])
        on("/v1/listen", hears.listen)
        on("/v1/speak", hears.speak, lambda each: isinstance(each, bytes), lambda each: each["type"] == "Clear")
        on("/stt/websocket", says.listen)
        on(
            "/tts/websocket",
            says.speak,
            lambda each: each["type"] == "chunk",
            lambda each: bool(each.get("cancel")),
        )
        voice = eleven.ElevenLabs(vendor)
        on(
            eleven.path_of(eleven.VOICE),
            voice.speak,
            lambda each: "audio" in each,
            lambda each: bool(each.get("close_context")),
            obeys=False,  # LiveKit and pipecat close each context once all of its text is sent
        )
        on("/v3/ws", assembly.AssemblyAI(vendor, sentences=[SENTENCE], confidence=0.0).listen)
        yield vendor


async def main() -> None:
    """Serve until the input ends."""
    log = Log()
    async with _sockets(log) as vendor:
        _serve_http(vendor, log)
        vendor.on("/_log", Answer(json=lambda request: log.told_of(vendor.requests)))
        vendor.on("/_reset", Answer(json=lambda request: log.reset()))
        print(vendor.url, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


if __name__ == "__main__":
    pin(LOADING)
    anyio.run(main)
