"""Google's SDK reads the fake of Google, and sends the same request as our provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from rtvi_plugins.context import MessageWithThoughts
from rtvi_plugins.kinds import AnswerEnded, Audio, FunctionResult, LLMRequest, Pause, SpeechInput, SpeechRequest, Typed
from rtvi_plugins.session import Secret
from rtvi_plugins_google.llm import configure, google_llm
from rtvi_plugins_google.speech import google_speech, hearing, speaking

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-google", "google_vendor")
live = fake_of("rtvi-plugins-google", "live_vendor")
KEY = Secret("key-of-a-test")
SCHEMA = {"type": "object", "properties": {"nights": {"type": "integer"}}}
BOOK: Any = {"name": "book_room", "description": "Books.", "parameters": SCHEMA}
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def conversation() -> list[Any]:
    """Return messages of every kind."""
    function = {"name": "book_room", "arguments": '{"nights": 3}'}
    calls = [{"id": "f1", "type": "function", "function": function, "extra": {"signature": "c2lnbmVk"}}]
    foreign = [{"id": "c1", "type": "function", "function": function}]
    thought: dict[str, Any] = {"text": "", "extra": {"signature": "ZW5kcw=="}}
    own: MessageWithThoughts = {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": calls,
        "thoughts": [thought],
    }
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Three nights."}, image]},
        own,
        {"role": "tool", "content": "Done.", "tool_call_id": "f1"},
        {"role": "assistant", "content": None, "tool_calls": foreign},
        {"role": "tool", "content": "Done.", "tool_call_id": "c1"},
    ]


async def test_a_whole_request_and_an_answer() -> None:
    """The request has every option, every form of message and every kind of part."""
    async with fake.google_vendor(fake.THINKING_AND_CALLING) as vendor:
        async with google_llm(KEY, **vendor.service_options) as llm:
            configure(llm, "gemini-3.8-flash", "low", 0.5, 0.9, 40, 100, 7, "BLOCK_NONE", {"labels": {"a": "b"}})
            async for _ in llm.respond(LLMRequest(conversation(), [BOOK], "book_room", SCHEMA)):
                pass
        ours = vendor.vendor.requests[0]
        (read,) = await sdk("check_google.py", vendor.vendor.url, given=ours.json)
        theirs = vendor.vendor.requests[-1]
    assert (theirs.path, theirs.params) == (ours.path, ours.params)
    assert live.camel(theirs.json) == ours.json
    assert theirs.headers["x-goog-api-key"] == ours.headers["x-goog-api-key"]
    assert read["parts"] == [
        {"text": "Three nights.", "thought": True},
        {"text": "One moment."},
        {
            "function_call": {"id": "f1", "name": "book_room", "args": {"nights": 3}},
            "thought_signature": "c2lnbmVk",
        },
        {"function_call": {"name": "hang_up"}},
        {"text": "", "thought_signature": "ZW5kcw=="},
    ]
    assert read["reason"] == "STOP"
    assert read["usage"] == {
        "prompt_token_count": 112,
        "cached_content_token_count": 100,
        "candidates_token_count": 5,
        "thoughts_token_count": 4,
        "total_token_count": 121,
    }


async def test_errors() -> None:
    """The SDK has an exception for each refusal, and for an error in the stream."""
    async with fake.google_vendor([fake.saying("Well")[0], fake.error(503, "UNAVAILABLE")]) as vendor:
        vendor.script("401", "429", "400", "500", "answer")
        read = await sdk("check_google.py", vendor.vendor.url, "5", given=HELLO)
    assert [each["error"] for each in read] == [
        ["ClientError", 401, "UNAUTHENTICATED"],
        ["ClientError", 429, "RESOURCE_EXHAUSTED"],
        ["ClientError", 400, "INVALID_ARGUMENT"],
        ["ServerError", 500, "INTERNAL"],
        ["ServerError", 503, "UNAVAILABLE"],
    ]


# ---- speech to speech ------------------------------------------------------------------------------------------------


class Endless(AsyncIterator[SpeechInput]):
    """An input that never ends: after the given items, nothing more comes."""

    def __init__(self, *items: SpeechInput) -> None:
        self._items = iter(items)

    async def __anext__(self) -> SpeechInput:
        if (item := next(self._items, None)) is None:
            await anyio.sleep_forever()
        assert item is not None
        return item


async def test_speech_to_speech() -> None:
    """The SDK sends the same messages, and reads those of the fake."""
    given: list[SpeechInput] = [Audio(bytes(1024), 16_000), Pause()]
    given += [Typed("Three nights."), FunctionResult("f1", "Done.")]
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    server = live.LiveServer([live.CALL, None])
    async with live.live_vendor(server) as vendor:
        async with google_speech(KEY, **vendor.service_options) as speech:
            speaking(speech, "gemini-3.8-live", "Kore", "en-US", "low", 0.5)
            hearing(speech, "low", "high", 100, 300, ("en-US",))
            async with aclosing(speech.converse(SpeechRequest(Endless(*given), messages, [BOOK]))) as pieces:
                ended = 0
                while ended < 2:
                    ended += await anext(pieces) == AnswerEnded()
        ours = vendor.vendor.requests[0]
        server.answers = [live.CALL, None]
        read = await sdk("check_google_live.py", vendor.vendor.url, given=ours.messages)
        theirs = vendor.vendor.requests[1]
    assert theirs.path == ours.path
    assert theirs.headers["x-goog-api-key"] == ours.headers["x-goog-api-key"]
    assert live.camel(theirs.messages) == ours.messages
    parts = [each["server_content"] for each in read if "server_content" in each]
    assert [each["output_transcription"]["text"] for each in parts if "output_transcription" in each] == [
        "Good ",
        "day.",
    ]
    assert [each["tool_call"]["function_calls"] for each in read if "tool_call" in each] == [[live.CALL]]
    assert read[-1]["usage_metadata"]["response_token_count"] == 20
