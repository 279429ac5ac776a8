"""The provider `echo` of kind `llm`: repeats what the user said, word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Literal, cast

from anyio.lowlevel import checkpoint
from attrs import define
from attrs.validators import ge, le

from rtvi_plugins import Doc, ProviderError, action, options, service
from rtvi_plugins.context import Message
from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, Usage

__all__ = ("EchoLLM", "configure", "echo_llm", "fail", "requests", "rewrite")


@define
class EchoLLM:
    """Answers with the last message of the user. `failure` makes each answer fail, as with a vendor."""

    prefix: str = ""
    ending: str = ""
    times: int = 1
    shout: bool = False
    omit: frozenset[str] = frozenset()
    replace: Mapping[str, str] = {}
    failure: ProviderCategory | None = None
    requests: int = 0

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the echo, one piece for each word with the space after it."""
        self.requests += 1
        if self.failure is not None:
            raise ProviderError("echo", self.failure)
        if request.answer_schema is not None:  # what it repeats is not JSON
            raise ProviderError("echo", "bad-request")
        words = re.findall(r"\S+\s*", self.echo(last_said(request.messages)))
        for word in words:
            yield Text(word)
            await checkpoint()
        yield Usage(completion_tokens=len(words), model="echo")

    def echo(self, text: str) -> str:
        """Return the text changed by the options."""
        words = [self.replace.get(word, word) for word in text.split() if word not in self.omit]
        said = self.prefix + " ".join(words * self.times) + self.ending
        return said.upper() if self.shout else said


def last_said(messages: Sequence[Message]) -> str:
    """Return what the user said last; empty if they said nothing."""
    said = (message.get("content") for message in reversed(messages) if message.get("role") == "user")
    content = next(said, None)
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(cast("object", part), dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


@service("llm", "echo")
@asynccontextmanager
async def echo_llm() -> AsyncGenerator[EchoLLM]:
    """Repeats what you say."""
    yield EchoLLM()


@options(echo_llm)
def configure(
    llm: EchoLLM,
    /,
    prefix: Annotated[str, Doc("Text before the echo; write the space at its end.")] = "",
    ending: Annotated[Literal[".", "!", "?"] | str, Doc("Text after the echo.")] = "",
    times: Annotated[int, ge(1), le(10), Doc("How often the words are repeated.")] = 1,
    shout: Annotated[bool, Doc("Whether to write the echo in capital letters.")] = False,
) -> None:
    """Set the changes of the echo."""
    llm.prefix, llm.ending, llm.times, llm.shout = prefix, ending, times, shout


@options(echo_llm)
def rewrite(
    llm: EchoLLM,
    /,
    omit: Annotated[Sequence[str], Doc("Words to leave out.")] = (),
    replace: Annotated[Mapping[str, str] | None, Doc("Words to replace with others.")] = None,
) -> None:
    """Which words are changed. With the group above, there is an option of every RTVI type."""
    llm.omit, llm.replace = frozenset(omit), replace or {}


@options(echo_llm)
def fail(
    llm: EchoLLM,
    /,
    failure: Annotated[
        Literal["auth", "quota", "rate", "timeout", "unavailable", "bad-request"] | None,
        Doc("The category in which each answer fails; unset, answers succeed."),
    ] = None,
) -> None:
    """Simulate a vendor's failure."""
    llm.failure = failure


@action(echo_llm)
async def requests(llm: EchoLLM, /) -> int:
    """Return how many answers this session has asked for."""
    return llm.requests
