"""What stands for a transport at both ends of a pipeline, in any version of pipecat."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, StartFrame, TextFrame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from peers import Answer

#: Tasks that nobody else would hold on to.
RUNNING: list[asyncio.Future[Any]] = []

logger.remove()


class Passing(FrameProcessor):
    """Lets every frame go on: the input, and a service that does nothing."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Sink(FrameProcessor):
    """Takes answers, as an output does, and lets everything else go on."""

    def __init__(self, answer: type[Frame]) -> None:
        super().__init__()
        self.started = asyncio.Event()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self._answer = answer

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, self._answer):
            self.answers.put_nowait(frame.message)
            return
        if isinstance(frame, StartFrame):
            self.started.set()
        await self.push_frame(frame, direction)


class Talking(FrameProcessor):
    """A TTS that, given a text, makes 20 ms of audio every 20 ms until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = asyncio.Event()
        self.stopped_at = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, TextFrame):
            await self.push_frame(frame, direction)
            return
        self.stopped.clear()
        try:
            while True:
                await self.push_frame(TTSAudioRawFrame(audio=bytes(960), sample_rate=24_000, num_channels=1))
                await asyncio.sleep(0.02)
        finally:
            self.stopped_at = time.perf_counter()
            self.stopped.set()


class Heard(FrameProcessor):
    """An output that notes when audio came to it."""

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()
        self.audible = asyncio.Event()
        self.last = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.last = time.perf_counter()
            self.audible.set()
            return
        if isinstance(frame, StartFrame):
            self.started.set()
        await self.push_frame(frame, direction)


class Conversing:
    """A `peers.Speaker`: a pipeline whose first processor is given a text, or asked for an interruption."""

    def __init__(self, interrupt: Callable[[FrameProcessor], Awaitable[None]]) -> None:
        self.first, self.tts, self.heard = Passing(), Talking(), Heard()
        self.processors: tuple[FrameProcessor, ...] = (self.first, Passing(), self.tts, self.heard)
        self._interrupt = interrupt

    @property
    def last(self) -> float:
        return self.heard.last

    @property
    def stopped_at(self) -> float:
        return self.tts.stopped_at

    async def speak(self) -> None:
        self.heard.audible.clear()
        await self.first.push_frame(TextFrame("Hello."))
        await self.heard.audible.wait()

    async def interrupt(self) -> None:
        await self._interrupt(self.first)

    async def stopped(self) -> None:
        await self.tts.stopped.wait()


def answering(push: Callable[[Any], Awaitable[None]], sink: Sink) -> Answer:
    """A JSON text in at one end, the next answer's JSON text out of the other."""

    async def answer(text: str) -> str:
        await push(json.loads(text))
        return json.dumps(await sink.answers.get())

    return answer


def reply(rtvi: Any) -> Any:
    """The RTVI processor of a version without actions, with a function by name that answers its client's messages."""
    functions = {"tts:say": _say}

    @rtvi.event_handler("on_client_message")
    async def replying(rtvi: Any, message: Any) -> None:
        await rtvi.send_server_response(message, await functions[message.type](**message.data))

    return rtvi


async def _say(text: str, interrupt: bool) -> str:
    return text


def tell_when_ready(transport: Any, port: int, ready: Callable[[int], None]) -> None:
    """Have a server's transport call back once it listens."""

    @transport.event_handler("on_websocket_ready")
    async def listening(*_: Any) -> None:
        ready(port)


def free_port() -> int:
    """A port that nobody listens on: pipecat does not tell which one it was given for 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
