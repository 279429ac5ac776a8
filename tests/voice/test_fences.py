"""A thousand switches and interruptions at random moments. After each, nothing old is heard, sent or stored."""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import AsyncGenerator
from typing import Any

import anyio.lowlevel
import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest, Text, ToolCall, TTSPiece, TTSRequest, Word

from ..fakes.providers import LOOK, SERVICES, Fakes, Respond, Synthesize, check_conversation, samples
from ..fakes.wire import Wire, settle

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

#: The messages that contain the bot's words, and the number of texts that are not answers.
TEXTS = {"bot-llm-text", "bot-tts-text", "bot-output"}
SAID = 0
CONVERSATIONS = 50
POINTS = 20  # in each of them: 1,000 on each backend

#: The length of a sentence's audio, in seconds for each of its characters.
CHARACTER = 0.02


class Numbered(Fakes):
    """Providers whose tokens and samples show which answer and which provider they belong to."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        #: The text of each answer, by its number.
        self.full = dict[int, str]()

    def respond_as(self, name: str) -> Respond:
        """Stream some sentences, and sometimes a function call. Each word begins with the number and a letter."""
        letter = {"scripted": "a", "other": "b"}[name]

        async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
            check_conversation(request.messages)
            self.begun["llm"] += 1
            number = len(self.full) + 1
            words = [f"{number}{letter}{index}" for index in range(self.dice.randint(2, 12))]
            self.full[number] = " ".join(f"{word}." if index % 4 == 3 else word for index, word in enumerate(words))
            try:
                for piece in re.findall(r"\S+\s*", self.full[number]):
                    yield Text(piece)
                    for _ in range(self.dice.randint(0, 3)):
                        await anyio.lowlevel.checkpoint()
                if self.dice.random() < 0.25:
                    yield ToolCall(f"call-{number}", "look", {})
            finally:
                self.ended["llm"] += 1

        return respond

    def synthesize_as(self, name: str) -> Synthesize:
        """Speak a sentence in pieces. Each sample is the number of the answer; those of `words` are below 0."""

        async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
            self.begun["tts"] += 1
            at = 0.0
            try:
                async for text in request.text:
                    number = re.match(r"\d+", text)
                    sample = (-1 if name == "words" else 1) * (int(number[0]) if number else 0)
                    for word in text.split():
                        if name == "words":
                            yield Word(word, at)
                        seconds = CHARACTER * (len(word) + 1)
                        at += seconds
                        yield samples(sample, seconds)
                        await anyio.lowlevel.checkpoint()
            finally:
                self.ended["tts"] += 1

        return synthesize


@bot(
    services=SERVICES,
    client="llm.provider tts.provider stt.provider llm:get_context llm:set_context tts:interrupt tts:say".split(),
    config=LOOK,
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


class Talk:
    """One conversation with random events."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire = wire
        self.dice = random.Random(seed)
        self.answered = 0

    async def go(self) -> None:
        """Hold the conversation until all points have happened, and until the bot is silent."""
        for _ in range(POINTS):
            await self.pass_time(self.dice.choice([0.0, 0.01, 0.05, 0.2, 0.5]))
            await self.dice.choice([self.write, self.write, self.interrupt, self.speak, self.switch, self.say])()
        await self.pass_time(40.0, step=0.2)
        await settle()

    async def pass_time(self, seconds: float, step: float = 0.02) -> None:
        """Move the clock by a frame. Mostly, answer function calls too."""
        for _ in range(round(seconds / step)):
            self.wire.clock.advance(step)
            await some_steps()
            self.answer_functions()

    def answer_functions(self) -> None:
        """Run the functions that the client is asked for."""
        for each in self.wire.data_of("llm-function-call-in-progress")[self.answered :]:
            self.answered += 1
            if self.dice.random() < 0.8:
                answer: dict[str, Any] = {"tool_call_id": each["tool_call_id"], "result": "ok"}
                self.wire.send("llm-function-call-result", {"function_name": "look", "arguments": {}, **answer})

    async def write(self) -> None:
        """Send text of the user, which interrupts."""
        self.wire.send("send-text", {"content": f"say {self.dice.random()}", "options": {}})
        await self.settle_sometimes()

    async def say(self) -> None:
        """Let an action say something."""
        self.wire.call("tts:say", text="0exactly 0this.")
        await self.settle_sometimes()

    async def interrupt(self) -> None:
        """Let an action interrupt."""
        self.wire.call("tts:interrupt")
        await self.settle_sometimes()

    async def speak(self) -> None:
        """Let the user speak, perhaps during the bot's turn."""
        for _ in range(self.dice.randint(5, 25)):
            self.wire.connection.receive_audio(samples(self.dice.choice([1, 1, 1, 0]), 0.02, 16_000))
            await self.pass_time(0.02)

    async def switch(self) -> None:
        """Switch a provider, at once or at the end of the turn."""
        service = self.dice.choice(["llm", "tts", "stt"])
        interrupt = self.dice.random() < 0.5
        name = self.dice.choice(SERVICES[service][:2])
        self.wire.update(interrupt=interrupt, **{service: {"provider": name}})
        await self.settle_sometimes()

    async def settle_sometimes(self) -> None:
        """A point may also be between two steps of the event loop."""
        if self.dice.random() < 0.7:
            await some_steps()


async def some_steps() -> None:
    """Let the event loop make as many steps as it usually needs, and no more."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


def numbers_of(audio: Audio) -> set[int]:
    """The numbers of the answers that a frame belongs to."""
    return {abs(each) for each in array("h", audio.data) if each}


def check_fences(wire: Wire) -> None:
    """Check that all text and audio after an interruption belong to later answers."""
    interruptions = [index for index, each in enumerate(wire.received) if each["type"] == "bot-interrupted"]
    texts = [(index, number_in(each)) for index, each in enumerate(wire.received) if each["type"] in TEXTS]
    for at in interruptions:
        before = max((number for index, number in texts if index < at), default=0)
        assert all(number > before for index, number in texts if index > at and number != SAID)
        spoken = [number for index, audio in wire.heard if index > at for number in numbers_of(audio)]
        assert all(number > before for number in spoken)


def check_switches(wire: Wire) -> None:
    """Check that after a config with another provider, nothing of the old provider is heard or sent."""
    for at, each in enumerate(wire.received):
        if each["type"] != "config" or each["data"].get("applies") != "now":
            continue
        values = {service["service"]: service["options"][0]["value"] for service in each["data"]["config"][:3]}
        later = next((i for i, message in enumerate(wire.received) if i > at and message["type"] == "config"), None)
        tokens = [message for message in wire.received[at:later] if message["type"] == "bot-llm-text"]
        letter = {"scripted": "a", "other": "b"}[values["llm"]]
        assert all(letter in message["data"]["text"] for message in tokens)
        sign = {"spell": 1, "words": -1}[values["tts"]]
        heard = [audio for index, audio in wire.heard if index > at and (later is None or index <= later)]
        assert all(sample * sign >= 0 for audio in heard for sample in array("h", audio.data))


def number_in(message: Any) -> int:
    """The number of the answer that a text belongs to."""
    found = re.match(r"\d+", message["data"]["text"])
    assert found is not None
    return int(found[0])


def check_closed(fakes: Fakes, wire: Wire) -> None:
    """Check that everything that began has ended, and that audio came only while the bot was reported to speak."""
    types = [each["type"] for each in wire.received]
    for kind in ("bot-llm", "bot-tts"):
        assert types.count(f"{kind}-started") == types.count(f"{kind}-stopped")
    assert types.count("bot-started-speaking") == types.count("bot-stopped-speaking")
    assert types.count("user-started-speaking") == types.count("user-stopped-speaking")
    for index, _ in wire.heard:
        sofar = types[:index]
        assert sofar.count("bot-started-speaking") == sofar.count("bot-stopped-speaking") + 1
    assert fakes.begun == fakes.ended


async def check_context(fakes: Numbered, wire: Wire) -> None:
    """Check that the context is a valid conversation, with only what the bot has begun to say."""
    messages = (await wire.result(wire.call("llm:get_context")))["messages"]
    check_conversation([{name: each[name] for name in each if name != "interrupted"} for each in messages])
    for each in messages:
        text = each["content"]
        if each["role"] != "assistant" or not text or text.startswith("0"):
            continue
        found = re.match(r"\d+", text)
        assert found is not None
        assert fakes.full[int(found[0])].startswith(text)
        assert each.get("interrupted", False) or fakes.full[int(found[0])] == text


@pytest.mark.parametrize("seed", range(CONVERSATIONS))
async def test_nothing_stale_follows_a_fence(seed: int) -> None:
    """The tokens, samples, streams and context of one random conversation are checked."""
    fakes = Numbered(seed)
    async with fakes.session(talker) as wire:
        talk = Talk(wire, seed)
        await talk.go()
        check_fences(wire)
        check_switches(wire)
        check_closed(fakes, wire)
        await check_context(fakes, wire)
