"""The providers and actions inside a bot, as a client sees them over the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, RequestError, Session, bot, converse
from rtvi_plugins.kinds import Audio, TTSRequest
from rtvi_plugins.session import Say
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_echo import actions, llm, stt, tts, vad

pytestmark = pytest.mark.anyio

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-echo")

MODULES = (actions, llm, stt, tts, vad)


@bot(
    services={"llm": "echo", "stt": "echo", "tts": "echo", "vad": "echo"},
    client=[
        *("llm.prefix", "llm.ending", "llm.times", "llm.shout", "llm.omit", "llm.replace", "llm.failure"),
        *("stt.script", "tts.pitch", "tts.seconds_per_word", "vad.threshold"),
        *("llm:requests", "llm:last_answer", "tts:said", "bot:say_back", "bot:say_back_types", "bot:count_to"),
    ],
)
async def parrot(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Says what you say."""
    await converse(session, llm=llm)


async def test_there_is_an_option_of_every_type() -> None:
    """The author of a client can try each RTVI type against this bot."""
    async with connect(parrot, *MODULES) as client:
        described = await client.describe_config()
    assert {option["type"] for service in described for option in service["options"]} == {
        "array",
        "bool",
        "number",
        "object",
        "string",
    }


async def test_options_take_effect_in_the_conversation() -> None:
    """The config determines what is heard, and the actions report it."""
    async with connect(parrot, *MODULES) as client:
        await client.update_config({"llm": {"prefix": "You said: ", "replace": {"me": "you"}}})
        await client.send_text("hear me")
        events = client.events()
        async for event in events:
            if event.type == "bot-llm-stopped":
                break
        assert await client.action("llm:last_answer") == "You said: hear you"
        assert await client.action("llm:requests") == 1


async def test_each_action_answers() -> None:
    """The actions of the module need only its name."""
    async with connect(parrot, *MODULES) as client:
        assert await client.action("bot:say_back", text="hi", times=2) == "hi hi"
        assert await client.action("llm:last_answer") == ""
        assert await client.action("tts:said") == []


async def test_arguments_of_every_type_come_back_as_they_were_sent() -> None:
    """Nothing is lost or changed in either direction."""
    sent: dict[str, Any] = {
        "text": "é…",
        "whole": -1,
        "number": 0.5,
        "flag": True,
        "choice": "blue",
        "items": ["a", ""],
        "object": {"a": {"b": [None, 1]}},
    }
    async with connect(parrot, *MODULES) as client:
        assert await client.action("bot:say_back_types", sent) == sent


async def test_arguments_of_a_wrong_type_are_all_named() -> None:
    """An error lists everything that is wrong."""
    async with connect(parrot, *MODULES) as client:
        with pytest.raises(RequestError) as caught:
            await client.action("bot:say_back_types", whole=1.5, flag="yes", choice="pink")
    assert len(caught.value.problems) == 3


async def test_a_long_action_reports_its_progress() -> None:
    """The answer is a job, which comes immediately. Each number and the end follow."""
    async with connect(parrot, *MODULES) as client:
        job = (await client.action("bot:count_to", number=3))["job"]
        reports: list[tuple[str, Any]] = []
        events = client.events()
        async for event in events:
            if event.type == "server-message" and event.data["job"] == job:
                reports.append((event.data["status"], event.data.get("data", event.data.get("result"))))
            if reports and reports[-1][0] != "progress":
                break
    assert reports == [
        ("progress", {"counted": 1}),
        ("progress", {"counted": 2}),
        ("progress", {"counted": 3}),
        ("done", 3),
    ]


@bot(services={"tts": "echo"}, client=["tts.pitch", "tts:say"])
async def beeper(session: Session, /, tts: TTS) -> None:
    """Sends the audio that it would play."""
    async for input in session.inputs():
        if isinstance(input, Say):
            pieces = [piece async for piece in tts.synthesize(TTSRequest(one(input.text)))]
            session.send({"rate": next(piece.rate for piece in pieces if isinstance(piece, Audio))})


async def one(text: str) -> AsyncGenerator[str]:
    """Yield a text in one piece."""
    yield text


async def test_the_sample_rate_is_the_operators() -> None:
    """The operator fixes a service option. A client can see it, but cannot set it."""
    operator = {"service_options": {"echo": {"sample_rate": 8000}}}
    async with connect(beeper, tts, operator=operator) as client:
        events = client.events()
        with pytest.raises(RequestError, match="sample_rate"):
            await client.update_config({"tts": {"sample_rate": 16000}})
        await client.action("tts:say", text="beep")
        async for event in events:
            if event.type == "server-message":
                assert event.data == {"rate": 8000}
                break
        else:
            pytest.fail("the bot told of no audio")
