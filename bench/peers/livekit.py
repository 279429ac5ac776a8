"""livekit-agents: a function that a model may call, and agents' sessions without a room."""

from __future__ import annotations

import json
from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.llm import FunctionToolCall, ToolContext, execute_function_call, function_tool
from messages import TEXT

from peers import Answer, Start


@function_tool
async def tts_say(text: str, interrupt: bool) -> str:
    """Say a text.

    Args:
        text: What to say.
        interrupt: Whether to stop what is being said.
    """
    return text


async def dispatch() -> tuple[str, Answer]:
    context = ToolContext([tts_say])

    async def answer(text: str) -> str:
        call = FunctionToolCall(name="tts_say", arguments=text, call_id="call")
        output = (await execute_function_call(call, context)).fnc_call_out
        return json.dumps({"error" if output.is_error else "result": output.output})

    return json.dumps({"text": TEXT, "interrupt": False}), answer


async def sessions() -> Start:
    async def start() -> Any:
        session = AgentSession()
        await session.start(Agent(instructions="Answer."))
        return session

    return start
