"""The model against a fake of its vendor: what it sends, what it yields, and how it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anthropic_vendor import THINKING_AND_CALLING, answer, anthropic_vendor, block, error, refuse, saying

from rtvi_plugins.context import Function, Message, MessageWithThoughts
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLM, LLMPiece, LLMRequest, Text, Thought, ToolCall, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_anthropic import AnthropicLLM
from rtvi_plugins_anthropic.llm import anthropic_llm, configure, list_models
from rtvi_plugins_vendor.provider_tests import undocumented_options
from rtvi_plugins_vendor.scripts import ScriptedVendor
from rtvi_plugins_vendor.testing import Answer

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
HELLO = LLMRequest([{"role": "user", "content": "Hello"}])
BOOK: Function = {"name": "book_room", "description": "Books a room.", "parameters": {"type": "object"}}


@asynccontextmanager
async def talking(parts: Sequence[bytes] = (*saying("Good", " day."),)) -> AsyncGenerator[tuple[AnthropicLLM, Any]]:
    """Open the provider with its default options, on a vendor that gives this answer."""
    async with anthropic_vendor(parts) as vendor, anthropic_llm(KEY, **vendor.service_options) as llm:
        configure(llm)
        yield llm, vendor


async def pieces_of(llm: AnthropicLLM, request: LLMRequest = HELLO) -> list[LLMPiece]:
    """Return the whole answer."""
    async with aclosing(llm.respond(request)) as answer:
        return [piece async for piece in answer]


async def sent(request: LLMRequest, **options: Any) -> dict[str, Any]:
    """Return the body of a request."""
    async with talking() as (llm, vendor):
        configure(llm, **options)
        await pieces_of(llm, request)
        return cast("dict[str, Any]", vendor.vendor.requests[0].json)


# ---- answers ---------------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed() -> None:
    """The pieces come first, then the usage. Cached tokens are part of the prompt."""
    async with talking() as (llm, _):
        assert isinstance(llm, LLM)
        usage = Usage(132, 9, model="claude-small", cached_tokens=100, reasoning_tokens=4)
        assert await pieces_of(llm) == [Text("Good"), Text(" day."), usage]


async def test_thoughts_and_function_calls() -> None:
    """A thought ends with its signature. A call without arguments has none."""
    async with talking(THINKING_AND_CALLING) as (llm, _):
        *pieces, usage = await pieces_of(llm)
    assert isinstance(usage, Usage)
    after = {"after": cast("Any", pieces[2]).extra["after"]}
    assert pieces == [
        *[Thought("Three "), Thought("nights."), Thought("", {"type": "thinking", "signature": "c2lnbmVk", **after})],
        Thought("", {"type": "redacted_thinking", "data": "aGlkZGVu", **after}),
        Text("One moment."),
        *[ToolCall("toolu_1", "book_room", {"nights": 3}), ToolCall("toolu_2", "hang_up", {})],
    ]


async def test_a_conversation_uses_one_connection() -> None:
    """The end of an answer is read, so that the next request does not wait for a connection."""
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/messages", Answer(parts=saying("Yes"), headers={"content-type": "text/event-stream"}))
        for _ in range(3):
            await pieces_of(llm)
        assert {each.connection for each in vendor.vendor.requests} == {1}


async def test_models_can_be_listed() -> None:
    """The models are sorted."""
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/models", Answer(json={"data": [{"id": "b"}, {"id": "a"}]}))
        assert await list_models(llm) == ["a", "b"]
        request = vendor.vendor.requests[-1]
    assert (request.params, request.headers["anthropic-version"]) == ({"limit": "1000"}, "2026-10-21")


async def test_a_made_up_key_is_noticed_without_a_conversation() -> None:
    """A request that costs nothing finds the error."""
    async with talking() as (llm, vendor):
        vendor.vendor.on(
            "/v1/models", Answer(401, json=lambda request: refuse(401, request)), Answer(json={"data": []})
        )
        with pytest.raises(ProviderError, match="anthropic refused its key"):
            await llm.check_key()
        await llm.check_key()


# ---- requests --------------------------------------------------------------------------------------------------------


async def test_a_request_has_the_key_the_version_and_the_options() -> None:
    """The request has nothing that was not set."""
    async with talking() as (llm, vendor):
        await pieces_of(llm)
        (request,) = vendor.vendor.requests
    assert request.headers["authorization"] == "Bearer key-of-a-test"
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.json == {
        "model": "claude-haiku-5-5",
        "max_tokens": 2048,
        "output_config": {"effort": "low"},
        "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


async def test_options_and_functions_are_sent() -> None:
    """The fields have the vendor's names. An answer's schema is in the same object as the effort."""
    request = LLMRequest(HELLO.messages, [BOOK, {"name": "hang_up"}], "book_room", {"type": "object"})
    options = {"thinking": "adaptive", "cache": "1h", "effort": "max", "extra": {"stop_sequences": ["END"]}}
    body = await sent(request, model="claude-x", **options)
    del body["messages"]
    assert body == {
        "model": "claude-x",
        "max_tokens": 2048,
        "stream": True,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "tools": [
            {"name": "book_room", "description": "Books a room.", "input_schema": {"type": "object"}},
            {"name": "hang_up", "input_schema": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "tool", "name": "book_room"},
    }


@pytest.mark.parametrize(("choice", "type"), [("none", "none"), ("auto", "auto"), ("required", "any")])
async def test_the_choice_of_functions_is_sent(choice: str, type: str) -> None:
    """The choice is sent only together with functions."""
    assert (await sent(LLMRequest(HELLO.messages, [BOOK], choice)))["tool_choice"] == {"type": type}
    assert "tool_choice" not in await sent(LLMRequest(HELLO.messages, [], choice))


async def test_extra_replaces_nothing_that_the_framework_decides() -> None:
    """It can replace neither the model nor the conversation."""
    body = await sent(HELLO, extra={"model": "costly", "messages": [], "stream": False, "max_tokens": 7})
    assert (body["model"], body["stream"], body["max_tokens"]) == ("claude-haiku-5-5", True, 7)
    assert body["messages"]


async def test_a_conversation_is_sent_with_thoughts_calls_and_results() -> None:
    """Turns alternate between user and assistant. Names and ids have only characters that the vendor accepts."""
    calls = [
        {"id": "c.1", "type": "function", "function": {"name": "book_room", "arguments": '{"nights": 3}'}},
        {"id": "c2", "type": "function", "function": {"name": "look it up", "arguments": "no JSON"}},
    ]
    thoughts: list[dict[str, Any]] = [
        {"text": "Three nights.", "extra": {"type": "thinking", "signature": "c2lnbmVk"}},
        {"text": "", "extra": {"type": "redacted_thinking", "data": "aGlkZGVu"}},
        {"text": "a thought that was cut", "extra": {}},
    ]
    thinking: MessageWithThoughts = {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": calls,
        "thoughts": thoughts,
    }
    conversation: list[Message] = [
        {"role": "system", "content": "You answer the phone."},
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "Three nights."},
        {"role": "user", "content": [{"type": "text", "text": "For Ada."}, {"type": "text", "text": " "}]},
        thinking,
        {"role": "tool", "content": "Done.", "tool_call_id": "c.1"},
        {"role": "tool", "content": "No such function.", "tool_call_id": "c2"},
        {"role": "system", "content": "The line is bad."},
        {"role": "assistant", "content": "Booked."},
    ]
    body = await sent(LLMRequest(conversation))
    assert body["system"] == "You answer the phone.\n\nBe brief."

    def text(text: str) -> dict[str, str]:
        return {"type": "text", "text": text}

    assert body["messages"] == [
        {"role": "user", "content": [text("(The conversation begins.)")]},
        {"role": "assistant", "content": [text("Welcome.")]},
        {"role": "user", "content": [text("Three nights."), text("For Ada.")]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Three nights.", "signature": "c2lnbmVk"},
                {"type": "redacted_thinking", "data": "aGlkZGVu"},
                text("One moment."),
                {"type": "tool_use", "id": "c_1", "name": "book_room", "input": {"nights": 3}},
                {"type": "tool_use", "id": "c2", "name": "look_it_up", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c_1", "content": "Done."},
                {"type": "tool_result", "tool_use_id": "c2", "content": "No such function."},
                text("The line is bad."),
            ],
        },
        {"role": "assistant", "content": [text("Booked.")]},
        {"role": "user", "content": [text("(Please go on.)")]},
    ]


SYSTEM: Message = {"role": "system", "content": "You answer the phone."}
ASKED: Message = {"role": "user", "content": "Three nights."}
WELCOME: Message = {"role": "assistant", "content": "Welcome."}


@pytest.mark.parametrize(
    ("before", "functions", "kept"),
    [
        ([SYSTEM, ASKED], [BOOK], 2),
        ([{**SYSTEM, "content": "Be brief."}, ASKED], [BOOK], 0),
        ([SYSTEM, {**ASKED, "content": "Four nights."}], [BOOK], 0),
        ([SYSTEM, ASKED], [], 0),
        ([SYSTEM, ASKED, {"role": "user", "content": "Please."}], [BOOK], 0),
        ([SYSTEM, ASKED, WELCOME], [BOOK], 0),
    ],
)
async def test_thoughts_go_back_only_after_what_they_were_written_after(
    before: list[Message], functions: list[Function], kept: int
) -> None:
    """The vendor refuses the request otherwise. The thoughts after them are written without them."""
    async with talking(THINKING_AND_CALLING) as (llm, vendor):
        pieces = await pieces_of(llm, LLMRequest([SYSTEM, ASKED], [BOOK]))
        thoughts = [{"text": "", "extra": each.extra} for each in pieces if isinstance(each, Thought) and each.extra]
        thinking: MessageWithThoughts = {"role": "assistant", "content": "One moment.", "thoughts": thoughts}
        conversation: list[Message] = [*before, thinking, {"role": "user", "content": "Well?"}]
        pieces = await pieces_of(llm, LLMRequest(conversation, functions))
        later = next(each for each in pieces if isinstance(each, Thought) and each.extra)
        thinking = {"role": "assistant", "content": "Yes?", "thoughts": [{"text": "", "extra": later.extra}]}
        await pieces_of(llm, LLMRequest([*conversation, thinking, ASKED], functions))
        _, second, third = (each.json["messages"] for each in vendor.vendor.requests)

    def count(messages: list[dict[str, Any]]) -> int:
        return sum(part["type"].endswith("thinking") for each in messages for part in each["content"])

    assert (count(second), count(third)) == (kept, kept + 1)
    assert "after" not in str(third)


async def test_a_thought_after_text_does_not_go_back() -> None:
    """The context has all thoughts before the text, and the vendor refuses one in another place."""
    thought = block(
        1, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "c2lnbmVk"}
    )
    hidden = block(2, {"type": "redacted_thinking", "data": "aGlkZGVu"})
    spoken = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Well"})
    async with talking(answer(spoken, thought, hidden)) as (llm, _):
        assert [each for each in await pieces_of(llm) if isinstance(each, Thought)] == []


async def test_images_are_sent() -> None:
    """An image is sent by URL, or embedded."""
    urls = ["https://example.org/cat.png", "data:image/png;base64,AAAA"]
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    body = await sent(LLMRequest([{"role": "user", "content": parts}]))
    assert [each["source"] for each in body["messages"][0]["content"]] == [
        {"type": "url", "url": urls[0]},
        {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    ]


async def test_other_parts_are_a_bad_request() -> None:
    """Otherwise they would be lost silently."""
    request = LLMRequest([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}])
    async with talking() as (llm, vendor):
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm, request)
        assert vendor.vendor.requests == []
    assert failed.value.category == "bad-request"


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "category"),
    [
        *[("overloaded_error", "unavailable"), ("api_error", "unavailable"), ("timeout_error", "timeout")],
        *[("rate_limit_error", "rate"), ("billing_error", "quota"), ("authentication_error", "auth")],
        *[("invalid_request_error", "bad-request"), ("an_error_of_tomorrow", "unavailable")],
    ],
)
async def test_an_error_in_a_stream_follows_its_text(type: str, category: str) -> None:
    """The text before the error stays an answer."""
    async with talking([saying("Well")[0], error(type)]) as (llm, _), aclosing(llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Well")
        with pytest.raises(ProviderError) as failed:
            await anext(answer)
    assert failed.value.category == category


@pytest.mark.parametrize(("status", "category"), [(529, "unavailable"), (402, "quota"), (500, "unavailable")])
async def test_a_refusal_has_the_category_of_its_type(status: int, category: str) -> None:
    """This includes a status that only this vendor uses."""
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/messages", Answer(status, json=lambda request: refuse(status, request)))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert failed.value.category == category


@pytest.mark.parametrize(
    ("details", "category"),
    [
        ({"error_code": "enforced_spend_limit_reached"}, "quota"),
        ({"error_code": "contract_spend_limit_reached"}, "quota"),
        ({"error_code": "ramp_limit_exceeded"}, "rate"),
        *[({"error_code": 1}, "rate"), ("a sentence", "rate"), (None, "rate")],
    ],
)
async def test_a_spend_limit_is_a_quota(details: object, category: str) -> None:
    """Its type is that of too many requests, but another attempt would fail too."""
    about = {"type": "rate_limit_error", "message": "words of a vendor", "details": details}
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/messages", Answer(429, json={"type": "error", "error": about}))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert (failed.value.category, failed.value.retryable) == (category, category == "rate")


@pytest.mark.parametrize("body", ["<html>", [1], {"error": "a sentence"}, {"error": {"type": "new"}}])
async def test_a_refusal_in_another_form_has_the_category_of_its_status(body: object) -> None:
    """A proxy between here and the vendor answers in its own form."""
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/messages", Answer(429, json=body))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert failed.value.category == "rate"


async def test_a_model_that_refuses_is_a_bad_request() -> None:
    """Another attempt would end in the same way."""
    async with talking(saying("I", stop_reason="refusal")) as (llm, _):
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert failed.value.category == "bad-request"


async def test_an_answer_without_its_end_is_unavailable() -> None:
    """This is so even if the connection was closed properly."""
    async with talking(saying("Well")[:-1]) as (llm, _):
        with pytest.raises(ProviderError, match="anthropic is not available"):
            await pieces_of(llm)


async def test_cancelling_reaches_the_vendor() -> None:
    """The answer is cancelled while it waits for the next piece. The next request works."""
    async with talking() as (llm, vendor):
        scripted: ScriptedVendor = vendor
        scripted.script("hang")
        with anyio.CancelScope() as scope:
            async with aclosing(llm.respond(HELLO)) as answer:
                async for _ in answer:
                    scope.cancel()
        assert await scripted.vendor.requests[-1].outcome() == "left"
        scripted.script("answer")
        assert (await pieces_of(llm))[0] == Text("Good")


async def test_the_readme_has_every_option() -> None:
    """Each option is listed with its default."""
    readme = Path(__file__).parents[1] / "README.md"
    assert undocumented_options(readme, anthropic_llm, configure) == []
