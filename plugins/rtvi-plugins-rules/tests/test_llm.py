"""The provider: how an answer streams, and its options."""

from __future__ import annotations

import anyio
import pytest

from rtvi_plugins.context import Function
from rtvi_plugins.kinds import LLM, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins_rules.llm import Rules, configure, rules_llm

pytestmark = pytest.mark.anyio

COUNT = LLMRequest([{"role": "user", "content": "count to 4"}])


async def test_it_opens_as_an_llm() -> None:
    """The service needs no key, no framework and no network."""
    async with rules_llm() as llm:
        assert isinstance(llm, LLM)


async def test_an_answer_streams_word_by_word() -> None:
    """Each piece is a word with the space after it. The number of words comes last."""
    pieces = [piece async for piece in Rules().respond(COUNT)]
    assert pieces == [Text("1, "), Text("2, "), Text("3, "), Text("4."), Usage(completion_tokens=4, model="rules")]


async def test_an_answer_can_be_cancelled_between_two_words() -> None:
    """Pieces that nobody took are never spoken."""
    said: list[object] = []
    with anyio.CancelScope() as scope:
        async for piece in Rules().respond(COUNT):
            said.append(piece)
            if len(said) == 2:
                scope.cancel()
    assert said == [Text("1, "), Text("2, ")]


async def test_words_are_paced() -> None:
    """With a pace, there is a pause after each word."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    llm = Rules(sleep=sleep)
    configure(llm, words_per_second=4, name="Otto")
    assert len([piece async for piece in llm.respond(COUNT)]) == 5
    assert slept == [0.25] * 4
    assert llm.name == "Otto"


async def test_a_call_is_one_piece_with_an_id() -> None:
    """A function call has no text before or after it."""
    ring: Function = {"name": "ring_bell"}
    request = LLMRequest([{"role": "user", "content": "Ring the bell!"}], [ring])
    assert [piece async for piece in Rules().respond(request)] == [ToolCall("call-1", "ring_bell", {})]


async def test_no_function_is_called_if_the_request_says_so() -> None:
    """With `tool_choice="none"`, the answer is text."""
    ring: Function = {"name": "ring_bell"}
    request = LLMRequest([{"role": "user", "content": "Ring the bell!"}], [ring], "none")
    pieces = [piece async for piece in Rules().respond(request)]
    assert not any(isinstance(piece, ToolCall) for piece in pieces)
    assert any(isinstance(piece, Text) for piece in pieces)
