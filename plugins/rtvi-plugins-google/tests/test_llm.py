"""The model against a fake of its vendor: what it sends, what it yields, and how it fails."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from google_vendor import PATH, THINKING_AND_CALLING, USAGE, error, event, google_vendor, refuse, saying

from rtvi_plugins.context import Function, Message, MessageWithThoughts
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLM, LLMPiece, LLMRequest, Text, Thought, ToolCall, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_google import GoogleLLM
from rtvi_plugins_google.llm import configure, google_llm, list_models
from rtvi_plugins_vendor.provider_tests import undocumented_options
from rtvi_plugins_vendor.scripts import EVENT_STREAM
from rtvi_plugins_vendor.testing import Answer

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
HELLO = LLMRequest([{"role": "user", "content": "Hello"}])
BOOK: Function = {"name": "book_room", "description": "Books a room.", "parameters": {"type": "object"}}
SPENT = Usage(112, 9, model="gemini-small", cached_tokens=100, reasoning_tokens=4)


@asynccontextmanager
async def talking(parts: Sequence[bytes] = (*saying("Good", " day."),)) -> AsyncGenerator[tuple[GoogleLLM, Any]]:
    """Open the provider with its default options, on a vendor that gives this answer."""
    async with google_vendor(parts) as vendor, google_llm(KEY, **vendor.service_options) as llm:
        configure(llm)
        yield llm, vendor


async def pieces_of(llm: GoogleLLM, request: LLMRequest = HELLO) -> list[LLMPiece]:
    """Return the whole answer."""
    async with aclosing(llm.respond(request)) as answer:
        return [piece async for piece in answer]


async def sent(request: LLMRequest, **options: Any) -> dict[str, Any]:
    """Return the body of a request."""
    async with talking() as (llm, vendor):
        configure(llm, **options)
        await pieces_of(llm, request)
        return cast("dict[str, Any]", vendor.vendor.requests[0].json)


async def failure_of(parts: Sequence[bytes]) -> ProviderError:
    """Return the error in which an answer ends."""
    async with talking(parts) as (llm, _):
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    return failed.value


# ---- answers ---------------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed() -> None:
    """The pieces come first, then the usage. Thoughts are part of the completion."""
    async with talking() as (llm, _):
        assert isinstance(llm, LLM)
        assert await pieces_of(llm) == [Text("Good"), Text(" day."), SPENT]


async def test_thoughts_and_function_calls() -> None:
    """A call has its signature. A call without an id gets one."""
    async with talking(THINKING_AND_CALLING) as (llm, _):
        thought, text, first, second, end, usage = await pieces_of(llm)
    assert (thought, text) == (Thought("Three nights."), Text("One moment."))
    assert first == ToolCall("f1", "book_room", {"nights": 3}, extra={"signature": "c2lnbmVk"})
    assert isinstance(second, ToolCall)
    assert (second.name, second.arguments, second.extra) == ("hang_up", {}, {"signature": ""})
    assert second.id
    assert (end, usage) == (Thought("", {"signature": "ZW5kcw=="}), SPENT)


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "CONTINUATION"])
async def test_a_long_answer_is_an_answer(reason: str) -> None:
    """The answer ends at the token limit, or at that of one request."""
    async with talking(saying("Well", reason=reason)) as (llm, _):
        assert await pieces_of(llm) == [Text("Well"), SPENT]


async def test_a_conversation_uses_one_connection() -> None:
    """Every answer is read to its end."""
    async with talking() as (llm, vendor):
        vendor.vendor.on(PATH, Answer(parts=saying("Yes"), headers=EVENT_STREAM))
        for _ in range(3):
            await pieces_of(llm)
        assert {each.connection for each in vendor.vendor.requests} == {1}


async def test_models_that_can_answer_are_listed() -> None:
    """The models are sorted. Those that only make embeddings are left out."""
    models = [
        {"name": "models/b", "supportedGenerationMethods": ["generateContent", "countTokens"]},
        {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/a", "supportedGenerationMethods": ["generateContent"]},
    ]
    async with talking() as (llm, vendor):
        vendor.vendor.on("/v1/models", Answer(json={"models": models}))
        assert await list_models(llm) == ["a", "b"]
    assert vendor.vendor.requests[-1].params == {"pageSize": "1000"}


@pytest.mark.parametrize(("status", "is_refused"), [(400, True), (401, True), (403, False), (429, False), (500, False)])
async def test_a_made_up_key_is_noticed_without_a_conversation(status: int, is_refused: bool) -> None:
    """The vendor answers 400 with a reason. Other failures say nothing about the key."""
    async with talking() as (llm, vendor):
        answer = Answer(status, json=lambda request: refuse(401 if is_refused else status, request))
        vendor.vendor.on("/v1/models", answer)
        if is_refused:
            with pytest.raises(ProviderError, match="google refused its key"):
                await llm.check_key()
        else:
            await llm.check_key()


# ---- requests --------------------------------------------------------------------------------------------------------


async def test_a_request_has_the_key_and_the_options() -> None:
    """The request has nothing that was not set."""
    async with talking() as (llm, vendor):
        await pieces_of(llm)
        (request,) = vendor.vendor.requests
    assert (request.path, request.params) == (PATH, {"alt": "sse"})
    assert request.headers["x-goog-api-key"] == "key-of-a-test"
    assert "authorization" not in request.headers
    assert request.json == {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}},
    }


async def test_options_and_functions_are_sent() -> None:
    """The fields have the vendor's names."""
    request = LLMRequest(HELLO.messages, [BOOK, {"name": "hang_up"}], "book_room", {"type": "object"})
    more = {"generationConfig": {"stopSequences": ["END"], "topK": None}, "labels": {"a": "b"}}
    body = await sent(
        request,
        thinking_level=None,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_tokens=100,
        seed=7,
        safety="BLOCK_NONE",
        extra=more,
    )
    categories = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
    del body["contents"]
    assert body == {
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 100,
            "seed": 7,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
        "safetySettings": [{"category": f"HARM_CATEGORY_{each}", "threshold": "BLOCK_NONE"} for each in categories],
        "labels": {"a": "b"},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "book_room", "description": "Books a room.", "parametersJsonSchema": {"type": "object"}},
                    {"name": "hang_up"},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["book_room"]}},
    }


@pytest.mark.parametrize(("choice", "mode"), [("none", "NONE"), ("auto", "AUTO"), ("required", "ANY")])
async def test_the_choice_of_functions_is_sent(choice: str, mode: str) -> None:
    """The choice is sent only together with functions."""
    body = await sent(LLMRequest(HELLO.messages, [BOOK], choice))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}
    assert "toolConfig" not in await sent(LLMRequest(HELLO.messages, [], choice))


async def test_a_model_cannot_lead_to_another_path() -> None:
    """Clients may be allowed to choose the model."""
    async with talking() as (llm, vendor):
        configure(llm, model="../files?x=")
        with pytest.raises(ProviderError):
            await pieces_of(llm)
        assert vendor.vendor.requests[0].path == "/v1/models/..%2Ffiles%3Fx%3D:streamGenerateContent"


async def test_a_conversation_is_sent_with_signatures_calls_and_results() -> None:
    """Turns alternate between user and model. A call of another provider has the documented signature."""
    own = [
        {"id": "f1", "function": {"name": "book_room", "arguments": '{"nights": 3}'}, "extra": {"signature": "c2ln"}},
        {"id": "f2", "function": {"name": "hang_up", "arguments": "{}"}, "extra": {"signature": ""}},
    ]
    foreign = [{"id": f"c{n}", "function": {"name": "look it up", "arguments": "no JSON"}} for n in (1, 2)]
    thoughts: list[dict[str, Any]] = [{"text": "Three.", "extra": {"signature": "ZW5k"}}, {"text": "Hm."}]
    thinking: MessageWithThoughts = {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": own,
        "thoughts": thoughts,
    }
    conversation: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "Three nights."},
        thinking,
        {"role": "tool", "content": "Done.", "tool_call_id": "f1"},
        {"role": "tool", "content": "Bye.", "tool_call_id": "f2"},
        {"role": "assistant", "content": None, "tool_calls": foreign},
        {"role": "tool", "content": "Nothing.", "tool_call_id": "c1"},
        {"role": "tool", "content": "Nothing.", "tool_call_id": "c0"},
    ]
    body = await sent(LLMRequest(conversation))
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}

    def result(id: str, name: str, output: str) -> dict[str, Any]:
        return {"functionResponse": {"id": id, "name": name, "response": {"output": output}}}

    lookup: dict[str, Any] = {"name": "look_it_up", "args": {}}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "(The conversation begins.)"}]},
        {"role": "model", "parts": [{"text": "Welcome."}]},
        {"role": "user", "parts": [{"text": "Three nights."}]},
        {
            "role": "model",
            "parts": [
                {"text": "One moment."},
                {"text": "", "thoughtSignature": "ZW5k"},
                {
                    "functionCall": {"id": "f1", "name": "book_room", "args": {"nights": 3}},
                    "thoughtSignature": "c2ln",
                },
                {"functionCall": {"id": "f2", "name": "hang_up", "args": {}}},
            ],
        },
        {"role": "user", "parts": [result("f1", "book_room", "Done."), result("f2", "hang_up", "Bye.")]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "c1", **lookup}, "thoughtSignature": "skip_thought_signature_validator"},
                {"functionCall": {"id": "c2", **lookup}},
            ],
        },
        {"role": "user", "parts": [result("c1", "look_it_up", "Nothing."), result("c0", "unnamed", "Nothing.")]},
    ]


async def test_embedded_images_are_sent() -> None:
    """They have their type."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "?"}]
    parts += [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    body = await sent(LLMRequest([{"role": "user", "content": parts}]))
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "?"}, image]}]


@pytest.mark.parametrize(
    "part", [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, {"type": "input_audio"}]
)
async def test_other_parts_are_a_bad_request(part: dict[str, Any]) -> None:
    """Otherwise they would be lost silently."""
    async with talking() as (llm, vendor):
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm, LLMRequest([{"role": "user", "content": [part]}]))
        assert vendor.vendor.requests == []
    assert failed.value.category == "bad-request"


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "category"),
    [
        *[(error(503, "UNAVAILABLE"), "unavailable"), (error(429, "RESOURCE_EXHAUSTED"), "rate")],
        *[(error(504, "DEADLINE_EXCEEDED"), "timeout"), (error(400, "INVALID_ARGUMENT"), "bad-request")],
        *[(event({"candidates": [{"finishReason": each}]}), "unavailable") for each in ("OTHER", "MALFORMED_RESPONSE")],
        *[(event({"candidates": [{"finishReason": each}]}), "bad-request") for each in ("SAFETY", "RECITATION")],
        *[(b"data: <html>\n\n", "unavailable"), (b"data: [1]\n\n", "unavailable"), (b"", "unavailable")],
    ],
)
async def test_a_failure_in_a_stream_follows_its_text(last: bytes, category: str) -> None:
    """The text before the failure stays. Without a reason to finish, the answer is incomplete."""
    async with talking([saying("Well")[0], last]) as (llm, _), aclosing(llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Well")
        with pytest.raises(ProviderError) as failed:
            await anext(answer)
    assert failed.value.category == category


async def test_a_blocked_question_is_a_bad_request_and_its_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log has none of the vendor's text."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": USAGE}
    assert (await failure_of([event(blocked)])).category == "bad-request"
    assert (await failure_of([event({"promptFeedback": {"blockReason": "some words"}})])).category == "bad-request"
    messages = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert messages == [
        "google blocked the conversation: PROHIBITED_CONTENT",
        "google blocked the conversation: a reason that cannot be shown",
    ]


@pytest.mark.parametrize("body", ["<html>", [], {"error": "a sentence"}, [{"error": {"code": 429}}], {"error": {}}])
async def test_a_refusal_in_another_form_has_the_category_of_its_status(body: object) -> None:
    """The vendor itself sometimes sends an array."""
    async with talking() as (llm, vendor):
        vendor.vendor.on(PATH, Answer(429, json=body))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert failed.value.category == "rate"


WAIT = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}


@pytest.mark.parametrize(
    ("details", "wait"),
    [
        ([{"@type": "a"}, WAIT], 34.07),
        ([{"retryDelay": "2s"}], 2.0),
        ([{"retryDelay": "soon"}, {"retryDelay": {"seconds": 34}}], None),
        ([5], None),
        (5, None),
    ],
)
async def test_google_says_in_the_body_how_long_to_wait(details: object, wait: float | None) -> None:
    """The error may also come in the middle of an answer."""
    refusal = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "words", "details": details}}
    async with talking() as (llm, vendor):
        vendor.vendor.on(PATH, Answer(429, json=refusal))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert (failed.value.category, failed.value.retry_after) == ("rate", wait)
    later = await failure_of([saying("Well")[0], event(refusal)])
    assert (later.category, later.retry_after) == ("rate", wait)


async def test_the_header_counts_more_than_the_body() -> None:
    """A gateway may have its own limit."""
    refusal = {"error": {"code": 429, "details": [WAIT]}}
    async with talking() as (llm, vendor):
        vendor.vendor.on(PATH, Answer(429, json=refusal, headers={"retry-after": "3"}))
        with pytest.raises(ProviderError) as failed:
            await pieces_of(llm)
    assert failed.value.retry_after == 3


async def test_cancelling_reaches_the_vendor() -> None:
    """The answer is cancelled while it waits for the next piece. The next request works."""
    async with talking() as (llm, vendor):
        vendor.script("hang")
        with anyio.CancelScope() as scope:
            async with aclosing(llm.respond(HELLO)) as answer:
                async for _ in answer:
                    scope.cancel()
        assert await vendor.vendor.requests[-1].outcome() == "left"
        vendor.script("answer")
        assert (await pieces_of(llm))[0] == Text("Good")


async def test_the_readme_has_every_option() -> None:
    """Each option is listed with its default."""
    readme = Path(__file__).parents[1] / "README.md"
    assert undocumented_options(readme, google_llm, configure) == []
