"""fastmcp: the tools of a server, called through its client in memory."""

from __future__ import annotations

import json
from typing import Any

from fastmcp import Client, FastMCP
from messages import TEXT

from peers import Answer, Start


async def dispatch() -> tuple[str, Answer]:
    client = await Client(_server("tts_say")).__aenter__()

    async def answer(text: str) -> str:
        return json.dumps({"result": (await client.call_tool("tts_say", json.loads(text))).data})

    return json.dumps({"text": TEXT, "interrupt": False}), answer


async def describe(count: int) -> Answer:
    client = await Client(_server(*(f"tts_say{number}" for number in range(count)))).__aenter__()

    async def answer(_: str) -> Any:
        return await client.list_tools()

    assert len(await answer("")) == count
    return answer


async def sessions() -> Start:
    server = _server("stt_say", "llm_say", "tts_say")

    async def start() -> Any:
        return await Client(server).__aenter__()

    return start


def _server(*names: str) -> FastMCP:
    """A server with tools of these names, each declared by its function."""
    server = FastMCP("bench")
    for name in names:

        async def tool(text: str, interrupt: bool) -> str:
            return text

        tool.__name__ = name
        server.tool(tool)
    return server
