"""An LLM that says what a test has written for it, and a check of what it is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from attrs import define, field

from rtvi_plugins import service
from rtvi_plugins.kinds import LLMPiece, LLMRequest

__all__ = ("LOOK", "WAIT", "Script", "Step", "check_conversation", "other_llm", "script", "scripted_llm")

#: In an answer: say nothing more until the turn is interrupted.
WAIT = "wait"

#: The config of a bot whose client carries out a function `look`.
LOOK: dict[str, dict[str, Any]] = {"llm": {"tools": [{"name": "look"}]}}

#: What an answer is made of: pieces, a failure, or `WAIT`.
Step: TypeAlias = "LLMPiece | Exception | str"


@define
class Script:
    """The answers still to be given, one for each request, and every request so far with who was asked."""

    answers: list[Sequence[Step]] = field(factory=list[Sequence[Step]])
    requests: list[LLMRequest] = field(factory=list[LLMRequest])
    asked: list[str] = field(factory=list[str])
    left: int = 0

    def write(self, *answers: Sequence[Step]) -> None:
        """Begin anew, with these answers."""
        self.answers, self.requests, self.asked, self.left = list(answers), [], [], 0


script = Script()


@define
class ScriptedLLM:
    """Gives the next answer of the script, or an empty one."""

    name: str

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Each request must be one that a vendor accepts."""
        check_conversation(request.messages)
        script.requests.append(request)
        script.asked.append(self.name)
        try:
            for step in script.answers.pop(0) if script.answers else ():
                await anyio.lowlevel.checkpoint()
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    await anyio.sleep_forever()
                else:
                    yield step
        finally:
            script.left += 1


@service("llm", "scripted")
@asynccontextmanager
async def scripted_llm() -> AsyncGenerator[ScriptedLLM]:
    """The one that a session starts with."""
    yield ScriptedLLM("scripted")


@service("llm", "other")
@asynccontextmanager
async def other_llm() -> AsyncGenerator[ScriptedLLM]:
    """The one that a session can switch to."""
    yield ScriptedLLM("other")


def check_conversation(messages: Sequence[Any]) -> None:
    """Raise unless a vendor would accept the messages: each call followed by its result, and no result without."""
    open_calls: list[str] = []
    for message in messages:
        assert set(message) <= {"role", "content", "tool_calls", "tool_call_id", "name"}, message
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls, "a result without its call"
            open_calls.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
            continue
        assert open_calls == [], "a call without its result"
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])
            open_calls.append(call["id"])
        assert message["content"] or open_calls, "a message that says nothing"
    assert open_calls == [], "a call without its result"
