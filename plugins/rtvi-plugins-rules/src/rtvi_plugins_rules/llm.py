"""The provider `rules` of kind `llm`: a rule-based replacement for an LLM. It streams its answers word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Annotated

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field
from attrs.validators import ge, le, min_len
from typing_extensions import Doc

from rtvi_plugins import ProviderError, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage

from .asking_back import with_choices
from .calling import Aside, Call
from .calling import reply as call_or_ask
from .conversation import read
from .facts import read_facts
from .knowledge import Knowledge
from .results import describe_results
from .rules import Scene
from .rules import reply as reply_by_rules
from .wording import FunctionTexts, Topic, WellFormed

__all__ = ("Rules", "answer", "configure", "rules_llm", "teach")


@define
class Rules:
    """Answers by rules. It has no state of a conversation: the same request always gets the same answer.

    `words_per_second` is the speed of an answer; 0 sends as fast as the receiver accepts. `sleep` waits for seconds.
    """

    words_per_second: float = 0.0
    name: str = ""
    knowledge: Knowledge = field(factory=Knowledge, repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(default=anyio.sleep, repr=False)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer, one piece for each word with the space after it, or one function call."""
        if request.answer_schema is not None:  # it answers by rules, and not with JSON
            raise ProviderError("rules", "bad-request")
        reply = answer(request, self.name, self.knowledge)
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


def answer(request: LLMRequest, name: str = "", knowledge: Knowledge | None = None) -> Call | str:
    """Return the answer to a request: a function to call, or a text."""
    known = knowledge or Knowledge()
    conversation = with_choices(read(request.messages), known)
    if conversation.last == "tool":
        return describe_results(conversation.results, known)
    may_call = bool(conversation.text) and request.tool_choice != "none"
    called = call_or_ask(conversation, request.functions, known) if may_call else None
    if called is not None and not isinstance(called, Aside):
        return called
    said = reply_by_rules(Scene(conversation, read_facts(conversation.said), name, known))
    # What the bot says again at the user's wish may end with the question.
    return said if called is None or said.endswith(called.question) else f"{said} {called.question}"


@service("llm", "rules")
@asynccontextmanager
async def rules_llm() -> AsyncGenerator[Rules]:
    """A rule-based replacement for a language model: no key, no network, always the same answer."""
    yield Rules()


@options(rules_llm)
def configure(
    llm: Rules,
    /,
    words_per_second: Annotated[
        float, ge(0), le(100), Doc("Speed of the answer, in words per second; 0 sends as fast as the receiver accepts.")
    ] = 0.0,
    name: Annotated[str, Doc("The name of the bot; empty uses the name in the system message.")] = "",
) -> None:
    """Set the speed of answers, and the name of the bot."""
    llm.words_per_second, llm.name = words_per_second, name


@options(rules_llm)
def teach(
    llm: Rules,
    /,
    topics: Annotated[
        Mapping[str, Topic], WellFormed(), Doc("What users ask about, by name: examples of questions, and answers.")
    ] = MappingProxyType({}),
    functions: Annotated[
        Mapping[str, FunctionTexts],
        WellFormed(),
        Doc("How to talk about functions, by name: examples, questions, confirmation, result."),
    ] = MappingProxyType({}),
    fallbacks: Annotated[
        Sequence[Annotated[str, min_len(1)]],
        Doc("What to say when nothing matches, in turn; if empty, the bot says that it has no rule."),
    ] = (),
    synonyms: Annotated[
        Mapping[str, Sequence[Annotated[str, min_len(1)]]],
        Doc("Words and phrases that mean the same, by the word that examples use for them."),
    ] = MappingProxyType({}),
) -> None:
    """Set the topics, the texts of functions, the fallbacks, and the synonyms."""
    llm.knowledge = Knowledge(topics, functions, fallbacks, synonyms)
