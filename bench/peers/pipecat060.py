"""pipecat 0.0.60: actions and options of its RTVI processor, and bots that speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from messages import DESCRIBE, SAY
from pipecat.frames.frames import Frame, StartInterruptionFrame, TransportMessageUrgentFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks import rtvi
from pipecat.serializers.base_serializer import FrameSerializer, FrameSerializerType
from pipecat.transports.network.websocket_server import WebsocketServerParams, WebsocketServerTransport

from peers import Answer, Speaker, Start
from peers.pipecat_ends import RUNNING, Conversing, Passing, Sink, answering, free_port, tell_when_ready


async def dispatch() -> tuple[str, Answer]:
    return SAY, await _answering(_with_actions(1))


async def describe(count: int) -> Answer:
    answer = await _answering(_with_actions(count))
    assert len(json.loads(await answer(DESCRIBE))["data"]["actions"]) == count
    return answer


async def update_config() -> Answer:
    # What is set of a service that is not in the first config is not kept.
    processor = rtvi.RTVIProcessor(config=rtvi.RTVIConfig(config=[rtvi.RTVIServiceConfig(service="llm", options=[])]))
    options = [rtvi.RTVIServiceOption(name=f"option{n}", type="string", handler=_take) for n in range(10)]
    processor.register_service(rtvi.RTVIService(name="llm", options=options))
    return await _answering(processor)


async def sessions() -> Start:
    async def start() -> Any:
        return await _running(_with_actions(1), Passing(), Passing(), Passing())

    return start


async def speakers(sessions: int) -> list[Speaker]:
    found: list[Speaker] = []
    for _ in range(sessions):
        speaker = Conversing(lambda first: first.push_frame(StartInterruptionFrame()))
        _run(*speaker.processors)
        await speaker.heard.started.wait()
        found.append(speaker)
    return found


def serve(ready: Callable[[int], None]) -> None:
    asyncio.run(_serve(ready))


# ---- what is declared ----------------------------------------------------------------------------------------------


async def _say(processor: rtvi.RTVIProcessor, service: str, arguments: dict[str, Any]) -> str:
    return arguments["text"]


async def _take(processor: rtvi.RTVIProcessor, service: str, option: Any) -> None:
    return


def _with_actions(count: int) -> rtvi.RTVIProcessor:
    processor = rtvi.RTVIProcessor(config=rtvi.RTVIConfig(config=[]))
    for name in ["say", *(f"say{number}" for number in range(1, count))]:
        processor.register_action(_action(name))
    return processor


def _action(name: str) -> rtvi.RTVIAction:
    text = rtvi.RTVIActionArgument(name="text", type="string")
    interrupt = rtvi.RTVIActionArgument(name="interrupt", type="bool")
    return rtvi.RTVIAction(service="tts", action=name, arguments=[text, interrupt], result="string", handler=_say)


# ---- how it runs ---------------------------------------------------------------------------------------------------


async def _running(*processors: FrameProcessor) -> tuple[FrameProcessor, Sink]:
    """Both ends of a pipeline that has started."""
    source, sink = Passing(), Sink(TransportMessageUrgentFrame)
    _run(source, *processors, sink)
    await sink.started.wait()
    return source, sink


def _run(*processors: FrameProcessor) -> None:
    parameters = PipelineParams(allow_interruptions=True)
    task = PipelineTask(Pipeline([*processors]), params=parameters, cancel_on_idle_timeout=False)
    task.set_event_loop(asyncio.get_running_loop())
    RUNNING.append(asyncio.ensure_future(task.run()))


async def _answering(processor: rtvi.RTVIProcessor) -> Answer:
    source, sink = await _running(processor)
    return answering(lambda message: source.push_frame(TransportMessageUrgentFrame(message=message)), sink)


class _Json(FrameSerializer):
    """Texts as they are: its own serializers know no frame that carries a message."""

    @property
    def type(self) -> FrameSerializerType:
        return FrameSerializerType.TEXT

    async def serialize(self, frame: Frame) -> str | None:
        return json.dumps(frame.message) if isinstance(frame, TransportMessageUrgentFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame:
        return TransportMessageUrgentFrame(message=json.loads(data))


async def _serve(ready: Callable[[int], None]) -> None:
    port = free_port()
    transport = WebsocketServerTransport(WebsocketServerParams(serializer=_Json()), host="127.0.0.1", port=port)
    pipeline = Pipeline([transport.input(), _with_actions(1), transport.output()])
    tell_when_ready(transport, port, ready)
    await PipelineRunner(handle_sigint=False).run(PipelineTask(pipeline, cancel_on_idle_timeout=False))
