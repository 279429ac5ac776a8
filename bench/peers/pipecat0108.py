"""pipecat 0.0.108: RTVI's client messages, answered in an event handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from messages import client_message
from pipecat.frames.frames import InputTransportMessageFrame, OutputTransportMessageUrgentFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask, PipelineTaskParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.websocket.server import WebsocketServerParams, WebsocketServerTransport

from peers import Answer
from peers.pipecat_ends import RUNNING, Passing, Sink, answering, free_port, reply, tell_when_ready


async def dispatch() -> tuple[str, Answer]:
    source, sink = Passing(), Sink(OutputTransportMessageUrgentFrame)
    loop = asyncio.get_running_loop()
    RUNNING.append(asyncio.ensure_future(_task(source, sink).run(PipelineTaskParams(loop=loop))))
    await sink.started.wait()
    push = lambda message: source.broadcast_frame(InputTransportMessageFrame, message=message)  # noqa: E731
    return client_message(), answering(push, sink)


def serve(ready: Callable[[int], None]) -> None:
    asyncio.run(_serve(ready))


def _task(*processors: FrameProcessor) -> PipelineTask:
    """A pipeline as a bot has it; the task puts the RTVI processor in."""
    return PipelineTask(Pipeline([*processors]), cancel_on_idle_timeout=False, rtvi_processor=reply(RTVIProcessor()))


async def _serve(ready: Callable[[int], None]) -> None:
    port = free_port()
    parameters = WebsocketServerParams(serializer=ProtobufFrameSerializer())
    transport = WebsocketServerTransport(parameters, host="127.0.0.1", port=port)
    tell_when_ready(transport, port, ready)
    await PipelineRunner(handle_sigint=False).run(_task(transport.input(), transport.output()))
