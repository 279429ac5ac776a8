"""The provider `rules` of kind `llm`: a rule-based stand-in that streams its answers word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage

from .calling import Call, describe_results
from .calling import reply as call_or_ask
from .conversation import read
from .facts import read_facts
from .rules import Scene
from .rules import reply as reply_by_rules

__all__ = ("Rules", "answer", "configure", "rules_llm")


@define
class Rules:
    """Answers by rules. It has no state of a conversation: the same request always gets the same answer.

    `words_per_second` is the speed of an answer; 0 sends as fast as the receiver accepts. `sleep` waits for seconds.
    """

    words_per_second: float = 0.0
    name: str = ""
    sleep: Callable[[float], Awaitable[None]] = field(default=anyio.sleep, repr=False)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer, one piece for each word with the space after it, or one function call."""
        reply = answer(request, self.name)
        if isinstance(reply, Call):
            yield ToolCall(f"call-{len(request.messages)}", reply.name, reply.arguments)
            return
        words = re.findall(r"\s*\S+\s*", reply)
        for word in words:
            yield Text(word)
            await self._pause()
        yield Usage(completion_tokens=len(words), model="rules")

    async def _pause(self) -> None:
        if self.words_per_second > 0:
            await self.sleep(1 / self.words_per_second)
        else:
            await checkpoint()


def answer(request: LLMRequest, name: str = "") -> Call | str:
    """Return the answer to a request: a function to call, or a text."""
    conversation = read(request.messages)
    if conversation.last == "tool":
        return describe_results(conversation.results)
    facts = read_facts(conversation.said)
    may_call = bool(conversation.text) and request.tool_choice != "none"
    called = call_or_ask(conversation, request.functions, facts) if may_call else None
    return called or reply_by_rules(Scene(conversation, facts, name))


@service("llm", "rules")
@asynccontextmanager
async def rules_llm() -> AsyncGenerator[Rules]:
    """A rule-based stand-in for a language model: no key, no network, always the same answer."""
    yield Rules()


@options(rules_llm)
def configure(
    llm: Rules,
    /,
    words_per_second: Annotated[
        float, ge(0), le(100), Doc("Speed of the answer, in words per second; 0 sends as fast as the receiver accepts.")
    ] = 0.0,
    name: Annotated[str, Doc("The name of the bot; empty uses the name in the instructions.")] = "",
) -> None:
    """The speed of answers, and the name of the bot."""
    llm.words_per_second, llm.name = words_per_second, name
