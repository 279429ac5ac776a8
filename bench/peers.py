"""Peers in environments of their own. Every one is asked for what ours is asked for, in the way that its docs show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from messages import TEXT

Answer = Callable[[str], Awaitable[Any]]

#: The environment that each peer is installed in.
ENVIRONMENTS = {"pipecat 0.0.60": "pipecat060", "fastmcp": "fastmcp"}


@asynccontextmanager
async def pipecat() -> AsyncGenerator[Answer]:
    """An action of pipecat's RTVI processor, between a source and a sink that do nothing."""
    from loguru import logger
    from pipecat.frames.frames import Frame, StartFrame, TransportMessageUrgentFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.task import PipelineParams, PipelineTask
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.processors.frameworks.rtvi import RTVIAction, RTVIActionArgument, RTVIConfig, RTVIProcessor

    logger.remove()
    loop = asyncio.get_running_loop()
    started: asyncio.Future[None] = loop.create_future()
    waiting: list[asyncio.Future[Any]] = []

    class Source(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            await self.push_frame(frame, direction)

    class Sink(FrameProcessor):
        """Takes answers, as a transport does, and lets everything else go on."""

        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, TransportMessageUrgentFrame):
                if frame.message["type"] == "action-response":
                    waiting.pop(0).set_result(frame.message)
                return
            if isinstance(frame, StartFrame):
                started.set_result(None)
            await self.push_frame(frame, direction)

    async def say(processor: RTVIProcessor, service: str, arguments: dict[str, Any]) -> str:
        return arguments["text"]

    arguments = [RTVIActionArgument(name="text", type="string"), RTVIActionArgument(name="interrupt", type="bool")]
    rtvi = RTVIProcessor(config=RTVIConfig(config=[]))
    rtvi.register_action(RTVIAction(service="tts", action="say", arguments=arguments, result="string", handler=say))
    source = Source()
    task = PipelineTask(Pipeline([source, rtvi, Sink()]), params=PipelineParams(), cancel_on_idle_timeout=False)
    task.set_event_loop(loop)
    running = asyncio.ensure_future(task.run())
    await started

    async def answer(text: str) -> str:
        answered = loop.create_future()
        waiting.append(answered)
        await source.push_frame(TransportMessageUrgentFrame(message=json.loads(text)))
        return json.dumps(await answered)

    yield answer
    running.cancel()


@asynccontextmanager
async def fastmcp() -> AsyncGenerator[Answer]:
    """A tool of a FastMCP server, called through its in-memory client."""
    from fastmcp import Client, FastMCP

    server = FastMCP("bench")

    async def tts_say(text: str, interrupt: bool) -> str:
        return text

    server.tool(tts_say)
    async with Client(server) as client:

        async def answer(text: str) -> Any:
            data = json.loads(text)["data"]
            sent = {each["name"]: each["value"] for each in data["arguments"]}
            return (await client.call_tool("tts_say", sent)).data

        assert TEXT in str(await client.call_tool("tts_say", {"text": TEXT, "interrupt": False}))
        yield answer


DISPATCH: dict[str, Callable[[], AbstractAsyncContextManager[Answer]]] = {"pipecat 0.0.60": pipecat, "fastmcp": fastmcp}
