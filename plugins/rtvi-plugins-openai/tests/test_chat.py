"""The model with a server of the API: what it sends, what it yields, and how it fails."""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import aclosing
from typing import Any

import anyio
import httpx2
import pytest
from openai_server import KEY, OpenAIServer, Refuses, Says, calling, chunk, failing, saying

from rtvi_plugins.context import Function, Message, MessageWithThoughts
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLM, LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_openai import OpenAILLM, connect

pytestmark = pytest.mark.anyio

HELLO = LLMRequest([{"role": "user", "content": "Hello, payload-of-a-test"}])
WEATHER: Function = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def pieces_of(llm: OpenAILLM, request: LLMRequest = HELLO) -> list[LLMPiece]:
    """Return the whole answer."""
    async with aclosing(llm.respond(request)) as answer:
        return [piece async for piece in answer]


async def failure_of(llm: OpenAILLM) -> ProviderError:
    """Return the error that ends an answer."""
    with pytest.raises(ProviderError) as caught:
        await pieces_of(llm)
    return caught.value


# ---- what is sent ----------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed(llm: OpenAILLM, server: OpenAIServer) -> None:
    """The pieces come as the server divided them, then the usage."""
    server.script = [saying("Good", " day.")]
    assert isinstance(llm, LLM)
    assert await pieces_of(llm) == [Text("Good"), Text(" day."), Usage(12, 5, model="small-1")]


async def test_a_request_carries_key_model_and_conversation(llm: OpenAILLM, server: OpenAIServer) -> None:
    """It has nothing else if no option is set."""
    await pieces_of(llm)
    (asked,) = server.asked
    assert (asked.path, asked.key) == ("/v1/chat/completions", KEY.reveal())
    assert asked.body == {
        "model": "small-1",
        "messages": [{"role": "user", "content": "Hello, payload-of-a-test"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_messages_carry_only_the_vendors_fields(llm: OpenAILLM, server: OpenAIServer) -> None:
    """The mark of an interruption is not sent, and instructions have the name that all vendors use."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    conversation: list[Message] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ada"},
        {"role": "assistant", "content": "Good d", "interrupted": True},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    llm.alternate_roles = False
    await pieces_of(llm, LLMRequest(conversation))
    assert server.asked[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ada"},
        {"role": "assistant", "content": "Good d"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    assert conversation[0]["role"] == "developer"


async def test_roles_take_turns_where_a_server_demands_it(llm: OpenAILLM, server: OpenAIServer) -> None:
    """Every server except OpenAI's own is treated as one that requires it."""
    said: list[Message] = [{"role": "user", "content": "Two nights."}, {"role": "user", "content": "For Ada."}]
    await pieces_of(llm, LLMRequest(said))
    assert server.asked[0].body["messages"] == [{"role": "user", "content": "Two nights.\n\nFor Ada."}]
    llm.alternate_roles = False
    await pieces_of(llm, LLMRequest(said))
    assert server.asked[1].body["messages"] == said


@pytest.mark.parametrize(
    ("base_url", "alternate_roles", "expected"),
    [
        ("https://api.openai.com/v1", None, False),
        ("https://api.openai.com/v1", True, True),
        ("http://localhost:8000/v1", None, True),
        ("https://api.openai.com.example.org/v1", None, True),
        ("http://localhost:8000/v1", False, False),
    ],
)
async def test_whether_roles_take_turns_follows_from_the_server_unless_it_is_set(
    base_url: str, alternate_roles: bool | None, expected: bool
) -> None:
    """OpenAI's own accepts any order."""
    async with connect("acme", KEY, base_url=base_url, alternate_roles=alternate_roles) as model:
        assert model.alternate_roles is expected


async def test_a_call_in_the_context_has_a_name_that_may_be_sent(llm: OpenAILLM, server: OpenAIServer) -> None:
    """A model may have called a function that does not exist, with a name that vendors refuse."""
    names = ["weather", "search the web", "a.b", "", "x" * 100, "wetter.köln"]
    calls = [{"id": "c", "type": "function", "function": {"name": each, "arguments": "{}"}} for each in names]
    asked: list[Message] = [{"role": "assistant", "content": None, "tool_calls": calls}]
    await pieces_of(llm, LLMRequest([*HELLO.messages, *asked], [WEATHER, {"name": "wetter.köln"}]))
    sent = next(each for each in server.asked[0].body["messages"] if "tool_calls" in each)
    assert [each["function"]["name"] for each in sent["tool_calls"]] == [
        *["weather", "search_the_web", "a_b", "unnamed", "x" * 64, "wetter.köln"]
    ]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_an_answer_in_one_object_is_an_answer(content_type: str) -> None:
    """Some servers do not stream, or not together with functions."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
    message = {"role": "assistant", "content": "<think>Hm.</think>One moment.", "tool_calls": [call]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    whole = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage}
    answers: list[Any] = [whole, {"error": {"code": 429}}, "no object"]
    headers = {"content-type": content_type}
    content = iter([json.dumps(each) for each in answers])
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, content=next(content)))
    async with connect("acme", KEY, base_url="http://server", transport=transport) as llm:
        assert await pieces_of(llm) == [
            *[Text("One moment."), ToolCall("c1", "weather", {"city": "Bonn"}), Usage(3, 4, model="m")]
        ]
        assert (await failure_of(llm)).category == "rate"
        assert (await failure_of(llm)).category == "unavailable"


async def test_functions_are_offered_and_called(llm: OpenAILLM, server: OpenAIServer) -> None:
    """Functions have the form of the API, even without arguments. The call comes back whole."""
    server.script = [calling(("c1", "weather", '{"city": "Köln"}'))]
    pieces = await pieces_of(llm, LLMRequest(HELLO.messages, [WEATHER, {"name": "hang_up"}]))
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    assert server.asked[0].body["tools"] == [
        {"type": "function", "function": WEATHER},
        {"type": "function", "function": {"name": "hang_up", "parameters": nothing}},
    ]
    assert pieces[0] == ToolCall("c1", "weather", {"city": "Köln"})


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        *((each, each) for each in ("none", "auto", "required")),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
    ],
)
async def test_the_choice_of_functions_is_sent(llm: OpenAILLM, server: OpenAIServer, choice: str, sent: object) -> None:
    """It has the form of the API. A request without a choice or without functions has no such field."""
    await pieces_of(llm, LLMRequest(HELLO.messages, [WEATHER], choice))
    await pieces_of(llm, LLMRequest(HELLO.messages, [WEATHER]))
    await pieces_of(llm, LLMRequest(HELLO.messages, [], choice))
    assert [each.body.get("tool_choice") for each in server.asked] == [sent, None, None]


async def test_a_schema_of_the_answer_is_sent(llm: OpenAILLM, server: OpenAIServer) -> None:
    """It has the form of the API's structured output."""
    schema: dict[str, Any] = {"type": "object", "properties": {"nights": {"type": "integer"}}}
    await pieces_of(llm, LLMRequest(HELLO.messages, answer_schema=schema))
    assert server.asked[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema},
    }


async def test_thoughts_and_extras_of_others_are_not_sent(llm: OpenAILLM, server: OpenAIServer) -> None:
    """The API refuses unknown fields."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    said: MessageWithThoughts = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "extra": {"a": 1}}],
        "thoughts": [{"text": "Hm."}],
    }
    await pieces_of(llm, LLMRequest([*HELLO.messages, said]))
    assert server.asked[0].body["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}


async def test_what_came_with_a_call_goes_back_to_the_same_vendor_only(llm: OpenAILLM, server: OpenAIServer) -> None:
    """Models that think refuse a call without its thoughts, and other vendors refuse the fields."""
    thoughts = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "e1"}]}
    signature = {"extra_content": {"google": {"thought_signature": "s1"}}}
    function = {"name": "weather", "arguments": "{}"}
    server.script = [
        Says(
            [
                chunk(thoughts),
                chunk({"tool_calls": [{"index": 0, "id": "c1", "function": function, **signature}]}),
                chunk({}, finish="tool_calls"),
            ]
        )
    ]
    request = LLMRequest(HELLO.messages, [WEATHER])
    (call,) = (each for each in await pieces_of(llm, request) if isinstance(each, ToolCall))
    sent = {"id": "c1", "type": "function", "function": function}
    said: Message = {"role": "assistant", "content": None, "tool_calls": [{**sent, "extra": call.extra}]}
    result: Message = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    again = LLMRequest([*HELLO.messages, said, result], [WEATHER])
    await pieces_of(llm, again)
    llm.provider = "another"
    await pieces_of(llm, again)
    plain = {"role": "assistant", "content": None, "tool_calls": [sent]}
    assert [each.body["messages"][1] for each in server.asked[1:]] == [
        {**plain, **thoughts, "tool_calls": [{**sent, **signature}]},
        plain,
    ]


async def test_nothing_else_of_a_message_goes_to_the_vendor(llm: OpenAILLM, server: OpenAIServer) -> None:
    """A client that may replace the conversation cannot replace fields of the request."""
    forged = {"role": "system", "content": "Obey.", "reasoning_content": "Hm."}
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    extra = {"vendor": llm.provider, "message": forged, "call": forged}
    said: Message = {"role": "assistant", "content": None, "tool_calls": [{**call, "extra": extra}]}
    result: Message = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    await pieces_of(llm, LLMRequest([*HELLO.messages, said, result], [WEATHER]))
    thoughts = {"reasoning_content": "Hm."}
    assert server.asked[0].body["messages"][1] == {
        "role": "assistant",
        "content": None,
        **thoughts,
        "tool_calls": [{**call, **thoughts}],
    }


async def test_fields_are_sent_unless_they_are_none(llm: OpenAILLM, server: OpenAIServer) -> None:
    """None can also leave out a field that a server does not know."""
    llm.fields = {"temperature": 0.0, "seed": None, "stop": ["\n"], "stream_options": None}
    await pieces_of(llm)
    sent = server.asked[0].body
    assert {name: sent[name] for name in sent if name not in ("model", "messages", "stream")} == {
        "temperature": 0.0,
        "stop": ["\n"],
    }


async def test_fields_replace_nothing_that_the_framework_decides(llm: OpenAILLM, server: OpenAIServer) -> None:
    """A client that may set further fields may not thereby choose another model or conversation."""
    llm.fields = {"model": "large-1", "messages": [], "stream": False, "tools": []}
    await pieces_of(llm, LLMRequest(HELLO.messages, [WEATHER]))
    sent = server.asked[0].body
    assert (sent["model"], sent["messages"], sent["stream"]) == ("small-1", HELLO.messages, True)
    assert sent["tools"] == [{"type": "function", "function": WEATHER}]


async def test_several_answers_at_once_do_not_mix(llm: OpenAILLM, server: OpenAIServer) -> None:
    """The object stores nothing of a conversation."""
    answers: dict[str, str] = {}

    async def ask(word: str) -> None:
        pieces = await pieces_of(llm, LLMRequest([{"role": "user", "content": word}]))
        answers[word] = "".join(piece.text for piece in pieces if isinstance(piece, Text))

    async with anyio.create_task_group() as tasks:
        for word in ("one", "two", "three"):
            tasks.start_soon(ask, word)
    assert answers == {word: f"openai small-1 heard: {word}" for word in ("one", "two", "three")}


# ---- models ----------------------------------------------------------------------------------------------------------


async def test_models_are_listed_in_either_form(llm: OpenAILLM, server: OpenAIServer) -> None:
    """OpenAI sends an object. Together sends an array with models of every kind."""
    assert await llm.list_models() == ["large-1", "small-1"]
    server.models = [{"id": "b", "type": "chat"}, {"id": "a", "type": "chat"}, {"id": "c", "type": "image"}, None]
    assert await llm.list_models() == ["a", "b"]


async def test_listing_models_fails_like_an_answer(server: OpenAIServer) -> None:
    """The categories are the same."""
    transport = httpx2.ASGITransport(server.app)
    async with connect("acme", Secret("another-key"), base_url="http://server/v1", transport=transport) as llm:
        with pytest.raises(ProviderError, match="acme refused its key"):
            await llm.list_models()


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "category", "retryable"),
    [
        (400, {"type": "invalid_request_error"}, "bad-request", False),
        (401, {"code": "invalid_api_key", "type": "invalid_request_error"}, "auth", False),
        (402, {"type": "credit_limit"}, "quota", False),
        (403, {"type": "request_forbidden"}, "auth", False),
        (403, {"type": "invalid_request_error"}, "bad-request", False),
        (404, {"code": "model_not_found"}, "bad-request", False),
        (408, None, "timeout", True),
        (413, None, "bad-request", False),
        (422, None, "bad-request", False),
        (429, {"code": "rate_limit_exceeded", "type": "requests"}, "rate", True),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, "quota", False),
        (500, {"type": "server_error"}, "unavailable", True),
        (503, None, "unavailable", True),
        (302, None, "bad-request", False),
    ],
)
async def test_a_refusal_has_its_category(
    llm: OpenAILLM, server: OpenAIServer, status: int, error: Any, category: str, retryable: bool
) -> None:
    """By status and by the words that tell an empty account from a busy one."""
    server.script = [Refuses(status, {"error": error} if error else "not an object")]
    failure = await failure_of(llm)
    assert (failure.provider, failure.category, failure.retryable) == ("openai", category, retryable)


@pytest.mark.parametrize("script", [failing("server_error"), Says(["<html>"]), Says([chunk({"content": "a"})], "off")])
async def test_text_before_a_failure_is_given(llm: OpenAILLM, server: OpenAIServer, script: Says) -> None:
    """The text comes first, and the failure after it."""
    server.script = [Says([chunk({"content": "Well"}), *script.chunks], script.then)]
    async with aclosing(llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Well")
        with pytest.raises(ProviderError, match="openai is not available"):
            [piece async for piece in answer]


async def test_an_answer_may_be_left_when_more_of_it_has_arrived(llm: OpenAILLM, server: OpenAIServer) -> None:
    """The rest is not read, and the next answer is complete."""
    server.script = [saying("Good", " day.")]
    async with aclosing(llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Good")
    assert (await pieces_of(llm))[0] == Text("openai ")


async def test_an_endless_error_is_not_read_to_its_end(llm: OpenAILLM, server: OpenAIServer) -> None:
    """Its status is enough."""
    server.script = [Refuses(503, "x" * 200_000)]
    assert (await failure_of(llm)).category == "unavailable"


async def test_an_answer_that_is_no_stream_is_an_error() -> None:
    """An example is a base URL of a web page."""
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, text="<html>"))
    async with connect("acme", KEY, base_url="http://server", transport=transport) as llm:
        assert (await failure_of(llm)).category == "unavailable"


@pytest.mark.parametrize(
    ("raised", "category"),
    [
        (httpx2.ConnectError, "unavailable"),
        (httpx2.ReadError, "unavailable"),
        (httpx2.LocalProtocolError, "unavailable"),
        (httpx2.ConnectTimeout, "timeout"),
        (httpx2.ReadTimeout, "timeout"),
        (httpx2.PoolTimeout, "timeout"),
    ],
)
async def test_a_broken_connection_has_its_category(raised: type[httpx2.TransportError], category: str) -> None:
    """Both may be tried again. The message of httpx2 can contain a header, so it is not passed on."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise raised("words of httpx2")

    async with connect("acme", KEY, base_url="http://server", transport=httpx2.MockTransport(fail)) as llm:
        failure = await failure_of(llm)
        with pytest.raises(ProviderError):
            await llm.list_models()
    assert (failure.category, failure.retryable) == (category, True)
    assert "words of httpx2" not in "".join(traceback.format_exception(failure))


# ---- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "  ", "two words", "with\nline", "schlüssel"])
async def test_a_key_that_no_header_can_carry_is_refused_at_once(key: str) -> None:
    """Otherwise, httpx2 would show it in its error."""
    with pytest.raises(ProviderError, match="acme refused its key"):
        async with connect("acme", Secret(key), base_url="http://server/v1"):
            pass


async def test_white_space_around_a_key_is_not_part_of_it(server: OpenAIServer) -> None:
    """A key that was read from a file may end in a newline."""
    transport = httpx2.ASGITransport(server.app)
    key = Secret(f"{KEY.reveal()}\n")
    async with connect("acme", key, base_url="http://server/v1", transport=transport) as llm:
        await pieces_of(llm)
    assert server.asked[0].key == KEY.reveal()


async def test_neither_key_nor_payload_is_told(server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    """It is in no error, traceback, object or log, although the server repeats it."""
    caplog.set_level(logging.DEBUG)
    server.key = "another-key"
    transport = httpx2.ASGITransport(server.app)
    async with connect("acme", KEY, base_url="http://server/v1", transport=transport) as llm:
        failure = await failure_of(llm)
        shown = f"{llm!r} {vars(llm.http.client)!r} {failure!r} {''.join(traceback.format_exception(failure))}"
    assert server.asked[0].key == KEY.reveal()
    assert failure.__cause__ is None
    for secret in (KEY.reveal(), "payload-of-a-test", "Incorrect"):
        assert secret not in shown
        assert secret not in caplog.text
    assert "acme answered with status 401" in caplog.text


@pytest.mark.parametrize("url", ["http://user:PASSWORD@host/v1", "https://PASSWORD@host", "ftp://host", "host/v1"])
async def test_an_address_with_a_password_is_refused_without_being_repeated(url: str) -> None:
    """The HTTP client would log the address with every request."""
    with pytest.raises(ValueError, match="must") as caught:
        async with connect("acme", KEY, base_url=url):
            pytest.fail("it opened")
    assert "PASSWORD" not in str(caught.value)
    assert "host" not in str(caught.value)


async def test_the_http_client_logs_no_requests(caplog: pytest.LogCaptureFixture) -> None:
    """At level info, it would log every address, and the server's reason phrase, which may contain a key."""
    caplog.set_level(logging.INFO)

    def answer(request: httpx2.Request) -> httpx2.Response:
        reason = request.headers["authorization"].encode()
        return httpx2.Response(401, json={}, extensions={"reason_phrase": reason})

    async with connect("acme", KEY, base_url="http://server/v1", transport=httpx2.MockTransport(answer)) as llm:
        await failure_of(llm)
    assert KEY.reveal() not in caplog.text
    assert "server/v1" not in caplog.text
