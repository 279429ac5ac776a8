"""OpenAI's SDK reads the fake of OpenAI, and knows every field that our providers send."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from rtvi_plugins.kinds import (
    Added,
    AnswerEnded,
    Audio,
    FunctionResult,
    Heard,
    LLMRequest,
    Respond,
    SpeechInput,
    SpeechRequest,
    STTRequest,
    TTSRequest,
    Typed,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_openai import connect
from rtvi_plugins_openai.llm import configure
from rtvi_plugins_openai.speech import hearing, openai_speech, speaking
from rtvi_plugins_openai.stt import openai_stt, recognition
from rtvi_plugins_openai.tts import openai_tts, voice

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-openai", "openai_vendor")
realtime = fake_of("rtvi-plugins-openai", "realtime_vendor")
KEY = Secret("key-of-a-test")

CALL = {"id": "c1", "type": "function", "function": {"name": "book_room", "arguments": '{"nights": 3}'}}
REQUEST = LLMRequest(
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Three nights."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "Done.", "tool_call_id": "c1"},
        {"role": "user", "content": [{"type": "text", "text": "And another."}]},
    ],
    [{"name": "book_room", "description": "Books.", "parameters": {"type": "object", "properties": {}}}],
    "book_room",
    {"type": "object", "properties": {}},
)


async def send(base_url: str) -> None:
    """Send a request that uses everything."""
    async with connect("openai", KEY, base_url=base_url, alternate_roles=False) as llm:
        llm.model = "gpt-6-luna"
        configure(llm, 0.5, 0.9, 0.1, 0.1, 100, 7, {"n": 1})
        async for _ in llm.respond(REQUEST):
            pass


async def test_chat() -> None:
    """The SDK reads the text and the usage."""
    async with fake.chat_vendor() as vendor:
        url = vendor.service_options["base_url"]
        await send(url)
        (read,) = await sdk("check_openai.py", url, given=vendor.vendor.requests[0].json)
        ours, theirs = vendor.vendor.requests
    assert (read["misfits"], read["text"], read["calls"]) == ([], "Good day.", [])
    assert read["usage"] == {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    assert (theirs.path, theirs.json) == (ours.path, ours.json)
    assert theirs.headers["authorization"] == ours.headers["authorization"]


async def test_function_calls() -> None:
    """The SDK reads arguments that come in fragments."""
    async with fake.chat_vendor(answer=fake.CALLS) as vendor:
        url = vendor.service_options["base_url"]
        (read,) = await sdk("check_openai.py", url, given={"model": "m", "messages": [], "stream": True})
    first, *fragments = read["calls"]
    assert (first["id"], first["function"]["name"]) == ("call_1", "book_room")
    assert "".join(each["function"]["arguments"] for each in fragments) == '{"nights": 3}'


async def test_errors() -> None:
    """The SDK has an exception for each refusal."""
    async with fake.chat_vendor() as vendor:
        vendor.script("401", "429", "400", "500")
        url = vendor.service_options["base_url"]
        read = await sdk("check_openai.py", url, "4", given={"model": "m", "messages": [], "stream": True})
    assert [each["error"] for each in read] == [
        ["AuthenticationError", 401],
        ["RateLimitError", 429],
        ["BadRequestError", 400],
        ["InternalServerError", 500],
    ]


# ---- speech ----------------------------------------------------------------------------------------------------------


async def one(item: Any) -> AsyncIterator[Any]:
    """Yield one item."""
    yield item


def parts_of(request: Any) -> list[tuple[str, bytes]]:
    """Return the parts of a form, sorted: each with its headers' name and file, and its content."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = [each.strip(b"\r\n").partition(b"\r\n\r\n") for each in request.body.split(b"--" + boundary)[1:-1]]
    return sorted((re.sub(r"[\r\n].*", "", head.decode(), flags=re.DOTALL), content) for head, _, content in parts)


async def test_transcription() -> None:
    """The SDK sends the same form, and reads the same events."""
    async with fake.transcription_vendor() as vendor:
        url = vendor.service_options["base_url"]
        async with openai_stt(KEY, base_url=url) as stt:
            recognition(stt, "gpt-transcribe", "en", ["en", "de"], "A hotel.", ["Zimmer", "Bad"], 0.5)
            async for _ in stt.transcribe(STTRequest(one(Audio(bytes(1024), 16_000)))):
                pass
        ours = parts_of(vendor.vendor.requests[0])
        file = next(content for head, content in ours if "filename" in head)
        given: dict[str, Any] = {
            "model": "gpt-transcribe",
            "language": "en",
            "languages": ["en", "de"],
            "prompt": "A hotel.",
        }
        given |= {"keywords": ["Zimmer", "Bad"], "temperature": 0.5, "response_format": "json", "stream": True}
        read = await sdk("check_openai_audio.py", url, given={**given, "file": file.hex()})
        assert parts_of(vendor.vendor.requests[1]) == ours
    assert [each["type"] for each in read] == [*["transcript.text.delta"] * 2, "transcript.text.done"]
    assert read[-1]["text"] == "Good day."
    assert read[-1]["languages"] == [{"code": "en"}]
    assert (read[-1]["usage"]["input_tokens"], read[-1]["usage"]["output_tokens"]) == (14, 3)


async def test_speech() -> None:
    """The SDK sends the same object, and reads the same bytes."""
    async with fake.speech_vendor() as vendor:
        url = vendor.service_options["base_url"]
        async with openai_tts(KEY, base_url=url) as tts:
            voice(tts, "gpt-4o-mini-tts", "marin", "Calmly.", 1.5)
            async for _ in tts.synthesize(TTSRequest(one("Good day."))):
                pass
        ours = vendor.vendor.requests[0].json
        read = await sdk("check_openai_audio.py", url, given=ours)
        assert vendor.vendor.requests[1].json == ours
    assert bytes.fromhex(read) == b"".join(fake.SOUND)


async def test_reading() -> None:
    """The SDK knows every event in both directions when a Realtime model reads texts."""
    async with realtime.reading_vendor() as vendor:
        async with openai_tts(KEY, base_url=vendor.vendor.url) as tts:
            voice(tts, "gpt-realtime-2.1-mini", "cedar", "Calmly.", 1.2)
            async with aclosing(tts.synthesize(TTSRequest(one("Good day. " * 500)))) as pieces:
                async for _ in pieces:
                    pass
            async with aclosing(tts.synthesize(TTSRequest(one("Bye.")))) as pieces:
                await anext(pieces)
        ours = vendor.vendor.requests[0]
        model = {"model": "gpt-realtime-2.1-mini", "events": ours.messages}
        found = await sdk("check_openai_realtime.py", vendor.vendor.url, given=model)
        theirs = vendor.vendor.requests[1]
    assert [each["type"] for each in ours.messages[1:]] == [*["response.create"] * 3, "response.cancel"]
    assert found["misfits"] == []
    assert (theirs.path, theirs.params, theirs.messages) == (ours.path, ours.params, ours.messages)
    assert {each["response"]["conversation_id"] for each in found["read"] if each["type"] == "response.done"} == {None}


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
    """The SDK knows every event in both directions."""
    given: list[SpeechInput] = [Audio(bytes(1024), 16_000) for _ in range(3)]
    given += [Added({"role": "user", "content": "Hi."}), Typed("Three nights."), Respond("Welcome.")]
    given += [FunctionResult("c1", "Done.", respond=False), Heard(0.0, 0)]
    asked = SpeechRequest(Endless(*given), REQUEST.messages, REQUEST.functions, REQUEST.tool_choice)
    server = realtime.RealtimeServer([realtime.CALL, None])
    async with realtime.realtime_vendor(server) as vendor:
        async with openai_speech(KEY, base_url=vendor.vendor.url) as speech:
            speaking(speech, "gpt-realtime-2", "marin", 1.2, "low", 500)
            hearing(speech, "server_vad", 0.7, 300, None, "near_field", "gpt-live-transcribe", "en")
            async with aclosing(speech.converse(asked)) as pieces:
                ended = 0
                while ended < 2:
                    ended += await anext(pieces) == AnswerEnded()
        ours = vendor.vendor.requests[0]
        server.answers = [realtime.CALL, None]
        model = {"model": "gpt-realtime-2", "events": ours.messages}
        found = await sdk("check_openai_realtime.py", vendor.vendor.url, given=model)
        theirs = vendor.vendor.requests[1]
    assert found["misfits"] == []
    assert (theirs.path, theirs.params, theirs.messages) == (ours.path, ours.params, ours.messages)
    assert theirs.headers["authorization"] == ours.headers["authorization"]
    types = {each["type"] for each in found["read"]}
    assert {"session.created", "response.output_audio.delta", "response.output_item.done", "response.done"} <= types
