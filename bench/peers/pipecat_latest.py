"""pipecat 1.14.0: RTVI's client messages, answered in an event handler of a pipeline's worker, and bots that speak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from messages import client_message
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.websocket.server import SingleClientWebsocketServerParams, SingleClientWebsocketServerTransport
from pipecat.workers.runner import WorkerRunner

from peers import Answer, Speaker, Start
from peers.pipecat_ends import RUNNING, Conversing, Passing, Sink, answering, free_port, reply, tell_when_ready


async def dispatch() -> tuple[str, Answer]:
    source, sink = await _running()
    push = lambda message: source.broadcast_frame(InputTransportMessageFrame, message=message)  # noqa: E731
    return client_message(), answering(push, sink)


async def sessions() -> Start:
    async def start() -> Any:
        return await _running(Passing(), Passing(), Passing())

    return start


async def speakers(sessions: int) -> list[Speaker]:
    found: list[Speaker] = []
    for _ in range(sessions):
        speaker = Conversing(lambda first: first.broadcast_interruption())
        runner = await _runner(*speaker.processors)
        RUNNING.append(asyncio.ensure_future(runner.run()))
        await speaker.heard.started.wait()
        found.append(speaker)
    return found


def serve(ready: Callable[[int], None]) -> None:
    asyncio.run(_serve(ready))


def serve_audio(ready: Callable[..., None], sessions: int) -> None:
    asyncio.run(_serve_audio(ready, sessions))


async def _running(*processors: FrameProcessor) -> tuple[FrameProcessor, Sink]:
    """Both ends of a pipeline that has started."""
    source, sink = Passing(), Sink(OutputTransportMessageUrgentFrame)
    runner = await _runner(source, *processors, sink)
    RUNNING.append(asyncio.ensure_future(runner.run()))
    await sink.started.wait()
    return source, sink


async def _runner(*processors: FrameProcessor) -> WorkerRunner:
    """A pipeline as a bot has it; the worker puts the RTVI processor in."""
    pipeline, rtvi = Pipeline([*processors]), reply(RTVIProcessor())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(PipelineWorker(pipeline, cancel_on_idle_timeout=False, rtvi_processor=rtvi))
    return runner


async def _serve(ready: Callable[[int], None]) -> None:
    port = free_port()
    parameters = SingleClientWebsocketServerParams(serializer=ProtobufFrameSerializer())
    transport = SingleClientWebsocketServerTransport(parameters, host="127.0.0.1", port=port)
    tell_when_ready(transport, port, ready)
    await (await _runner(transport.input(), transport.output())).run()


class _Speaking(FrameProcessor):
    """Stands for what makes speech: a frame of the bot's for each of the user's, so that nothing else sets the pace."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(audio=bytes(960), sample_rate=24_000, num_channels=1)
        await self.push_frame(frame, direction)


async def _serve_audio(ready: Callable[..., None], sessions: int) -> None:
    """Its transport has one client, so that each session has a port."""
    ports: list[int] = []
    listening: list[int] = []

    def listens(port: int) -> None:
        listening.append(port)
        if len(listening) == sessions:
            ready(*ports)

    for _ in range(sessions):
        port = free_port()
        ports.append(port)
        transport = _with_audio(port)
        tell_when_ready(transport, port, listens)
        runner = await _runner(transport.input(), Passing(), _Speaking(), Passing(), transport.output())
        RUNNING.append(asyncio.ensure_future(runner.run()))
    await asyncio.gather(*RUNNING)


def _with_audio(port: int) -> SingleClientWebsocketServerTransport:
    parameters = SingleClientWebsocketServerParams(
        serializer=ProtobufFrameSerializer(),
        audio_in_enabled=True,
        audio_in_sample_rate=16_000,
        audio_out_enabled=True,
        audio_out_sample_rate=24_000,
        audio_out_10ms_chunks=2,
    )
    return SingleClientWebsocketServerTransport(parameters, host="127.0.0.1", port=port)
