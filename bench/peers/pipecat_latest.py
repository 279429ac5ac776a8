"""pipecat 1.14.0: RTVI's client messages, answered in an event handler of a pipeline's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from messages import client_message
from pipecat.frames.frames import InputTransportMessageFrame, OutputTransportMessageUrgentFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.websocket.server import SingleClientWebsocketServerParams, SingleClientWebsocketServerTransport
from pipecat.workers.runner import WorkerRunner

from peers import Answer, Start
from peers.pipecat_ends import RUNNING, Passing, Sink, answering, free_port, reply, tell_when_ready


async def dispatch() -> tuple[str, Answer]:
    source, sink = await _running()
    push = lambda message: source.broadcast_frame(InputTransportMessageFrame, message=message)  # noqa: E731
    return client_message(), answering(push, sink)


async def sessions() -> Start:
    async def start() -> Any:
        return await _running(Passing(), Passing(), Passing())

    return start


def serve(ready: Callable[[int], None]) -> None:
    asyncio.run(_serve(ready))


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
