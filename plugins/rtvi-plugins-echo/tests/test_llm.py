"""The echo as an LLM."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.context import Message
from rtvi_plugins.kinds import LLM, LLMPiece, LLMRequest, Text, Usage
from rtvi_plugins_echo.llm import EchoLLM, configure, echo_llm, fail, last_said, requests, rewrite

pytestmark = pytest.mark.anyio


async def answer(llm: EchoLLM, text: str = "Hello you there") -> list[LLMPiece]:
    """Return the pieces of the answer to one text."""
    return [piece async for piece in llm.respond(LLMRequest([{"role": "user", "content": text}]))]


async def test_it_opens_as_an_llm() -> None:
    """The service needs no key, no framework and no network."""
    async with echo_llm() as llm:
        assert isinstance(llm, LLM)


async def test_the_echo_streams_word_by_word() -> None:
    """Each piece is a word with the space after it. The number of words comes last."""
    expected = [Text("Hello "), Text("you "), Text("there"), Usage(completion_tokens=3, model="echo")]
    assert await answer(EchoLLM()) == expected


async def test_the_echo_can_be_cancelled_between_two_words() -> None:
    """Pieces that nobody took are never spoken."""
    said: list[LLMPiece] = []
    with anyio.CancelScope() as scope:
        async for piece in EchoLLM().respond(LLMRequest([{"role": "user", "content": "one two three"}])):
            said.append(piece)
            scope.cancel()
    assert said == [Text("one ")]


@pytest.mark.parametrize(
    ("options", "echoed"),
    [
        ({"prefix": "You said: "}, "You said: one two"),
        ({"ending": "!"}, "one two!"),
        ({"times": 2}, "one two one two"),
        ({"shout": True, "ending": "?"}, "ONE TWO?"),
    ],
)
def test_options_say_what_the_echo_sounds_like(options: dict[str, Any], echoed: str) -> None:
    """A plain function returns options. Those that are not given have their defaults."""
    llm = EchoLLM()
    configure(llm, **options)
    assert llm.echo("one two") == echoed


def test_words_are_left_out_and_replaced() -> None:
    """The group of structured options applies to each word."""
    llm = EchoLLM()
    rewrite(llm, omit=["um"], replace={"two": "three"})
    assert llm.echo("one um two") == "one three"
    rewrite(llm)
    assert llm.echo("one um two") == "one um two"


@pytest.mark.parametrize("category", ["auth", "quota", "rate", "timeout", "unavailable", "bad-request"])
async def test_it_fails_when_told_to(
    category: Literal["auth", "quota", "rate", "timeout", "unavailable", "bad-request"],
) -> None:
    """A bot's author can see each failure of a vendor without having one."""
    llm = EchoLLM()
    fail(llm, failure=category)
    with pytest.raises(ProviderError) as caught:
        await answer(llm)
    assert caught.value.category == category
    fail(llm)
    assert await answer(llm)


async def test_requests_are_counted() -> None:
    """An action returns how often the LLM was called."""
    llm = EchoLLM()
    await answer(llm)
    await answer(llm)
    assert await requests(llm) == 2


PARTS: list[dict[str, Any]] = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], ""),
        ([{"role": "assistant", "content": "Hi"}], ""),
        ([{"role": "user", "content": "first"}, {"role": "user", "content": "last"}], "last"),
        ([{"role": "user", "content": PARTS}, {"role": "assistant", "content": "Hi"}], "one two"),
        ([{"role": "user", "content": None}], ""),
    ],
)
def test_the_last_message_of_the_user_is_echoed(messages: list[Message], said: str) -> None:
    """Content may be a text, a list in which some parts are text, or nothing."""
    assert last_said(messages) == said
