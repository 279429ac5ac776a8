"""Every recipe of the cookbook."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import after_speech
import anyio
import ask_llm
import filler
import hand_over
import languages
import notice
import on_change
import once
import own_service
import polyglots
import pytest
import remind
import set_options
import shared_model
import telephone
from rtvi_plugins.client import Client, open_client
from rtvi_plugins.hosting import Host
from rtvi_plugins.testing import ConnectionStream, ManualClock, call, connect, host_for, settle, silence, speak, wait
from rtvi_plugins_echo.tone import loudness

import blocking
import fake_speech
import greet
import hang_up
import key_file
import log_transcripts
import pronounce
import push_message
import resume
import say_text
import session_state
import time_limit
import user_data

pytestmark = pytest.mark.anyio


async def sentence(client: Client) -> str:
    """Return the next sentence of the bot."""
    async for event in client.events():
        if event.type == "bot-transcription":
            return str(event.data["text"])
    raise AssertionError("the session ended")


async def test_greet() -> None:
    """The LLM speaks first."""
    async with connect(greet.receptionist) as client:
        assert await sentence(client) == "Good day!"


async def test_hang_up() -> None:
    """The session ends after the last sentence of the LLM."""
    async with connect(hang_up.hotline) as client:
        await client.send_text("Please end the call.")
        types = [event.type async for event in client.events()]
        assert types.index("llm-function-call-stopped") < types.index("bot-transcription")
        assert client.closed


async def test_time_limit() -> None:
    """The bot says goodbye after five minutes, and the session ends."""
    clock = ManualClock()
    async with connect(time_limit.hotline, clock=clock) as client:
        await settle()
        clock.advance(300)
        assert await sentence(client) == "Your five minutes are over."
        async for _ in client.events():
            pass
        assert client.closed


async def test_user_data() -> None:
    """The start request contains the name."""
    async with connect(user_data.receptionist, operator={"name": "Ada"}) as client:
        assert await sentence(client) == "Good day, Ada!"


async def test_push_message() -> None:
    """The client receives a server-message."""
    async with connect(push_message.shop) as client:
        await client.action("bot:add_to_cart", product="tea")
        async for event in client.events():
            if event.type == "server-message":
                assert event.data == {"type": "cart", "added": "tea"}
                break


async def test_say_text() -> None:
    """The bot says exactly the text."""
    async with connect(say_text.porter) as client:
        await client.action("bot:taxi_arrived")
        assert await sentence(client) == "Your taxi has arrived."


async def test_set_options() -> None:
    """The action sets the voice, although clients are not granted it."""
    async with connect(set_options.guide, fake_speech) as client:
        assert await client.action("bot:speak", language="de") == "The voice is de."


async def test_on_change() -> None:
    """The bot speaks after a change, and not at the start."""
    async with connect(on_change.guide, fake_speech, config={"tts": {"voice": "de"}}) as client:
        await client.send_text("My name is Ada.")
        assert await sentence(client) == "Nice to meet you, Ada."
        await client.update_config({"tts": {"voice": "fr-fr"}})
        assert await sentence(client) == "This is my new voice."


async def test_blocking() -> None:
    """The action runs in a thread."""
    async with connect(blocking.office) as client:
        assert await client.action("bot:count_rooms") == 2


async def test_log_transcripts(caplog: pytest.LogCaptureFixture) -> None:
    """The log contains both sides of the conversation."""
    with caplog.at_level(logging.INFO, "transcripts"):
        async with connect(log_transcripts.receptionist) as client:
            await client.send_text("My name is Ada.")
            await sentence(client)
    lines = [each.getMessage().partition(" ")[2] for each in caplog.records if each.name == "transcripts"]
    assert lines == ["user: My name is Ada.", "assistant: Nice to meet you, Ada."]


async def test_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service opens with the key from the file."""
    monkeypatch.setattr(key_file, "KEYS", tmp_path / "keys.json")
    (tmp_path / "keys.json").write_text(json.dumps({"openai": {"api_key": "key-of-a-test"}}))
    async with connect(key_file.receptionist) as client:
        assert not client.closed


async def test_pronounce() -> None:
    """The bot shows the original text and speaks the replacement."""
    clock = ManualClock()
    async with host_for(pronounce.teacher, clock=clock, dev=True) as host, call(host) as line:
        line.send("send-text", {"content": "I like SQL 92"})
        await settle()
        await wait(clock, 2.0)
        assert " ".join(each["text"] for each in line.received("bot-tts-text")) == "I like sequel ninety-two"
        assert "I like SQL 92" in [each["text"] for each in line.received("bot-transcription")]


async def test_once() -> None:
    """The bot and its action use the database."""
    async with connect(once.pizzeria) as client:
        assert await sentence(client) == "A margherita is 8.5 euros."
        assert await client.action("bot:price", pizza="margherita") == 8.5
        assert await client.action("bot:price", pizza="hawaii") is None
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE menu (pizza TEXT, price REAL)")
        assert await once.price(once.Menu(database), pizza="margherita") is None


async def test_shared_model(tmp_path: Path) -> None:
    """Two sessions speak with one model, which was loaded once."""
    (tmp_path / "model").write_text("hello polly")
    environ = {"PARROT_MODEL_FILE": str(tmp_path / "model")}
    async with Host(shared_model.cage, dev=True, environ=environ) as host:
        (tmp_path / "model").unlink()
        for _ in range(2):
            started = await host.start()
            async with open_client(ConnectionStream(host.claim(started.token))) as client:
                await client.send_text("Hello")
                assert await sentence(client) == "polly"


async def test_session_state() -> None:
    """Each session has its own cart."""
    async with connect(session_state.shop) as client, connect(session_state.shop) as other:
        assert await client.action("bot:add", product="tea") == 1
        assert await client.action("bot:add", product="milk") == 2
        assert await client.action("bot:cart") == {"products": ["tea", "milk"], "address": None}
        assert await other.action("bot:cart") == {"products": [], "address": None}


async def test_resume() -> None:
    """The second session knows the first one."""
    async with connect(resume.receptionist, request={"user": "ada"}) as client:
        await client.send_text("My name is Ada.")
        await sentence(client)
    async with connect(resume.receptionist, request={"user": "ada"}) as client:
        await client.send_text("What is my name?")
        assert await sentence(client) == "Your name is Ada."


async def test_notice() -> None:
    """The notice and the goodbye are heard to their ends, whatever the client does; then the session ends."""
    clock = ManualClock()
    async with host_for(notice.hotline, clock=clock, dev=True) as host, call(host) as line:
        await wait(clock, 0.1)
        line.send("action", {"service": "tts", "action": "interrupt"}, "stop")
        line.send("action", {"service": "bot", "action": "transfer"}, "transfer")
        await wait(clock, 3.0)
        assert {"interrupted": True} not in line.received("bot-turn-ended")
        heard = [each["text"] for each in line.received("bot-output") if each["spoken_status"] == "completed"]
        assert heard == ["This call is recorded.", "A colleague will call you back.", "Goodbye!"]
        assert line.connection.closed


async def test_remind() -> None:
    """The reminder comes at its time."""
    clock = ManualClock()
    async with connect(remind.assistant, clock=clock) as client:
        await client.send_text("Remind me about tea in 30 seconds.")
        await settle()
        clock.advance(30)
        while await sentence(client) != "This is your reminder: tea.":
            pass


async def test_after_speech() -> None:
    """The buttons appear after the last word, and not after an interruption."""
    clock = ManualClock()
    async with host_for(after_speech.guide, clock=clock, dev=True) as host, call(host) as line:
        line.send("send-text", {"content": "left or right"})
        await wait(clock, 0.2)
        assert line.received("server-message") == []
        await wait(clock, 1.0)
        assert line.received("server-message") == [{"show": "buttons"}]
        line.send("send-text", {"content": "left or right"})
        await wait(clock, 0.1)
        line.send("action", {"service": "tts", "action": "interrupt"}, "stop")
        await wait(clock, 1.0)
        assert line.received("server-message") == [{"show": "buttons"}]


async def test_filler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is heard while the search lasts, and not if the search is fast."""
    clock = ManualClock()
    found = anyio.Event()
    async with host_for(filler.shop, clock=clock, dev=True) as host, call(host) as line:
        line.send("send-text", {"content": "Find order 7."})
        await wait(clock, 3.0)
        assert "One moment, please." not in [each["text"] for each in line.received("bot-output")]

        async def slow_search(number: int) -> str:
            await found.wait()
            return "found"

        monkeypatch.setattr(filler, "search", slow_search)
        line.send("send-text", {"content": "Find order 8."})
        await wait(clock, 2.0)
        assert line.received("bot-output")[-1]["text"] == "One moment, please."
        found.set()
        await wait(clock, 3.0)
        assert "found" in line.received("bot-output")[-1]["text"]


async def test_own_service() -> None:
    """The calls of an old client: the actions of the service `context`."""
    async with connect(own_service.agent, version="0.3.0") as client:
        assert await client.action("context:update_system_prompt", prompt="You are called Bob.") is True
        assert await client.action("context:reset") is True
        context = await client.action("llm:get_context")
        assert context["messages"] == [{"role": "system", "content": "You are called Bob."}]


async def test_ask_llm() -> None:
    """The action receives the LLM of the bot."""
    async with connect(ask_llm.assistant) as client:
        assert await client.action("bot:answer", question="What is 3 plus four?") == "That is 7."


async def test_telephone() -> None:
    """The volume changes what the caller hears. A muted caller is not heard."""
    fake_speech.lines.extend(["My name is Ada."] * 2)
    clock = ManualClock()
    async with host_for(telephone.operator, fake_speech, clock=clock, dev=True) as host, call(host) as line:

        def ask(type: str, data: Mapping[str, Any], id: str) -> None:
            line.send("client-message", {"t": type, "d": data}, id)

        async def utterance() -> float:
            line.audio.clear()
            await speak(line, clock, 0.5)
            await silence(line, clock, 2.0)
            return max(map(loudness, line.audio), default=0.0)

        loud = await utterance()
        assert loud > 0.05
        ask("update-config", {"config": {"call": {"volume": 0.5}}}, "c1")
        assert await utterance() == pytest.approx(loud / 2, rel=0.05)
        heard = len(line.received("user-transcription"))
        ask("update-config", {"config": {"call": {"muted": True}}}, "c2")
        assert await utterance() < 0.001
        assert len(line.received("user-transcription")) == heard
        sent = {"service": "call", "action": "transfer", "arguments": {"destination": "sip:desk"}}
        ask("action", sent, "c3")
        await settle()
        assert line.received("server-response")[-1]["d"] == {"destination": "sip:desk"}


async def test_hand_over() -> None:
    """The other persona has its own voice, prompt and functions, and can hand back."""
    polyglots.spoken.clear()
    clock = ManualClock()
    async with host_for(hand_over.hotel, polyglots, clock=clock, dev=True) as host, call(host) as line:
        session = line.connection.session
        await wait(clock, 2.0)
        assert {voice for voice, _ in polyglots.spoken} == {"en-us+f3"}
        assert [each["name"] for each in session.functions] == ["call_kitchen"]
        line.send("send-text", {"content": "Call the kitchen."})
        await wait(clock, 2.0)
        assert polyglots.spoken[-1] == ("en-gb", "Kitchen, Otto speaking.")
        assert [each["name"] for each in session.functions] == ["call_reception", "order"]
        assert session.context.messages[0]["content"] == hand_over.KITCHEN.prompt
        line.send("send-text", {"content": "Call the reception."})
        await wait(clock, 2.0)
        assert polyglots.spoken[-1][0] == "en-us+f3"
        assert session.context.messages[0]["content"] == hand_over.RECEPTION.prompt


async def test_languages() -> None:
    """Voice, recogniser, numbers and prompt follow the language, from the answer on."""
    polyglots.spoken.clear()
    polyglots.heard.clear()
    clock = ManualClock()
    async with host_for(languages.guide, polyglots, clock=clock, dev=True) as host, call(host) as line:
        for _ in range(2):
            await speak(line, clock, 0.5)
            await silence(line, clock, 2.0)
        assert polyglots.heard == ["en", "de"]
        assert polyglots.spoken == [("de", "Es ist fünfzehn Uhr dreißig.")] * 2
        assert line.received("bot-output")[-1]["text"] == "Es ist 15:30 Uhr."
        assert line.connection.session.context.messages[0]["content"] == "Antworte auf Deutsch."
