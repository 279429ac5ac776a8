"""Random conversations by speech-to-speech models: nothing stale is heard or remembered, and no vendor is left out.

Each word of an answer is 0.1 s of samples with one number, so a test knows to the frame what was heard of each answer.
`nox -s soak` makes a thousand interruptions, by SOAK_INTERRUPTIONS. Another seed is told by SOAK_SEED.
"""

from __future__ import annotations

import os
import random
from array import array
from collections import deque
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

import anyio
import pytest
from attrs import evolve

from rtvi_plugins import ProviderError, SpeechModel
from rtvi_plugins.kinds import (
    Audio,
    FunctionResult,
    Heard,
    SpeechBegan,
    SpeechEnded,
    SpeechInput,
    SpeechPiece,
    SpeechRequest,
    Text,
    ToolCall,
    Transcript,
    Word,
)
from rtvi_plugins.testing import ScriptedSpeech, ScriptedSpeechModel

from ..fakes.conversation import silence, speak, types, write
from ..fakes.providers import RATE, check_conversation, samples
from ..fakes.wire import Wire, settle
from .test_speech_model import talker, talking, watched

pytestmark = pytest.mark.anyio

INTERRUPTIONS = int(os.environ.get("SOAK_INTERRUPTIONS", "12"))
SEED = int(os.environ.get("SOAK_SEED", "1"))

WORD_SECONDS = 0.1
MOST_WORDS = 30
WHAT_HAPPENS = """speak speak speak speak over over over over late late write write interrupt say switch fail
silence silence stale add""".split()


class Tape(AsyncIterator[SpeechInput]):
    """The input of one stream, as the model reads it, each with the number of frames that the client had then."""

    def __init__(self, request: SpeechRequest, wires: list[Wire]) -> None:
        self.input: Any = request.input
        self.wires = wires
        self.items = list[tuple[SpeechInput, int]]()
        #: The numbers of the answers that were asked for in this stream.
        self.asked = list[int]()

    def __len__(self) -> int:
        return len(self.input)

    async def __anext__(self) -> SpeechInput:
        item: SpeechInput = await anext(self.input)
        self.items.append((item, len(self.wires[0].heard) if self.wires else 0))
        return item

    def told(self, answer: int) -> list[tuple[Heard, int]]:
        """The interruptions of this answer that the model was told."""
        return [(each, at) for each, at in self.items if isinstance(each, Heard) and each.answer == answer]


class Vendor:
    """Two models that always have an answer, and keep what they were asked and told."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.wires = list[Wire]()
        self.tapes = list[Tape]()
        self.lengths = dict[int, int]()
        self.has_times = set[int]()
        self.calls = dict[int, str]()
        self.gates = list[anyio.Event]()
        #: The utterance that each answer is for.
        self.answers_to = dict[int, str]()
        self.spoken = ""
        self.models = [self.model(), self.model()]

    def model(self) -> ScriptedSpeechModel:
        """A model that always has an answer."""
        vendor = self

        class Endless(deque[ScriptedSpeech]):
            def __len__(self) -> int:
                return 1

            def popleft(self) -> ScriptedSpeech:
                return vendor.answer()

        model = ScriptedSpeechModel()
        model.answers = Endless()
        plain = model.converse

        def converse(request: SpeechRequest, /) -> AsyncIterator[SpeechPiece]:
            check_conversation(request.messages)
            self.tapes.append(Tape(request, self.wires))
            return plain(evolve(request, input=self.tapes[-1]))

        patched: Any = model
        patched.converse = _Method(model, converse)
        return model

    def answer(self) -> list[Any]:
        """Some words, in pieces that come at once or later, and perhaps a function call."""
        dice, number = self.dice, len(self.lengths)
        length = self.lengths[number] = dice.randint(1, MOST_WORDS - 1)
        self.tapes[-1].asked.append(number)
        self.answers_to[number], self.spoken = self.spoken, ""
        steps: list[Any] = []
        if dice.random() < 0.2:
            steps.append(self.gate())
        has_times = dice.random() < 0.5
        if has_times:
            self.has_times.add(number)
        for index in range(length):
            text = f"a{number}w{index}"
            steps.append(Text(f"{text}. " if dice.random() < 0.3 else f"{text} "))
            if has_times:
                steps.append(Word(text, index * WORD_SECONDS))
            steps.append(samples(1 + (number % 1000) * MOST_WORDS + index, WORD_SECONDS))
            if dice.random() < 0.1:
                steps.append(self.gate())
        if dice.random() < 0.2:
            self.calls[number] = f"call-{number}"
            steps.append(ToolCall(f"call-{number}", "price", {"nights": number}))
        return steps

    def gate(self) -> anyio.Event:
        """Wait: the vendor needs time here."""
        gate = anyio.Event()
        clock = self.wires[0].clock
        clock.call_after(self.dice.choice([0.3, 1.0, 2.0]), gate.set)
        return gate

    @property
    def open(self) -> ScriptedSpeechModel | None:
        """The model whose stream is open."""
        return next((each for each in self.models if each.open), None)


class _Method:
    """A method of a model that can be replaced."""

    def __init__(self, model: ScriptedSpeechModel, function: Any) -> None:
        self.__self__ = model
        self.function = function

    def __call__(self, request: SpeechRequest, /) -> AsyncIterator[SpeechPiece]:
        found: AsyncIterator[SpeechPiece] = self.function(request)
        return found


class Talk:
    """One conversation with random actions of the user, the client and the vendors."""

    def __init__(self, seed: int, wire: Wire, vendor: Vendor, *, has_vad: bool) -> None:
        self.dice = random.Random(seed)
        self.wire = wire
        self.vendor = vendor
        self.has_vad = has_vad
        self.lines = list[str]()
        self.transcribed = list[str]()
        #: Words that the vendor has not transcribed yet: the stream, the number of the utterance, and the text.
        self.late = list[tuple[Tape, int, str]]()
        self.utterances = dict[Tape, int]()
        self.provider = 0

    async def step(self) -> None:
        """Take one step."""
        wire, dice = self.wire, self.dice
        match dice.choice(WHAT_HAPPENS):
            case "speak":
                await self.speak()
                await silence(wire, dice.choice([0.1, 0.5, 2.0]))
            case "over":
                await silence(wire, dice.choice([0.1, 0.4, 0.8]))
                await self.speak()
            case "late":
                self.transcribe_late()
            case "write":
                await write(wire, f"t{len(self.lines)}")
                self.lines.append(f"t{len(self.lines)}")
            case "interrupt":
                wire.call("speech:interrupt")
            case "say":
                wire.call("speech:say", text="News.")
            case "switch":
                self.provider = 1 - self.provider
                wire.update(speech={"provider": ["first", "second"][self.provider]})
            case "fail":
                if (model := self.vendor.open) is not None and dice.random() < 0.3:
                    model.hear(ProviderError("acme", "unavailable"))
            case "stale":
                self.hear_stale()
            case "add":
                wire.call("speech:append_to_messages", messages=[{"role": "user", "content": "A note."}])
            case _:
                await silence(wire, dice.choice([0.1, 0.5]))
        await settle()

    async def speak(self) -> None:
        """Let the user say a line. Its words come now or later."""
        dice, text = self.dice, f"u{len(self.lines)}"
        number, tape = 0, self.vendor.tapes[-1]
        self.lines.append(text)
        if self.has_vad:
            await speak(self.wire, 1, dice.choice([0.3, 0.5]))
        elif (model := self.vendor.open) is not None:
            tape = self.vendor.tapes[-1]
            number = self.utterances.get(tape, 0)
            self.utterances[tape] = number + 1
            model.hear(SpeechBegan())
            await silence(self.wire, dice.choice([0.1, 0.3]))
        if (model := self.vendor.open) is None:
            return
        if tape is self.vendor.tapes[-1] and dice.random() < 0.4:
            self.late.append((tape, number, text))
        else:
            model.hear(Transcript(text, final=True))
            self.transcribed.append(text)
        self.vendor.spoken = text
        if not self.has_vad:
            model.hear(SpeechEnded())
        else:
            await silence(self.wire, 0.6)
        await settle()

    def transcribe_late(self) -> None:
        """Let the vendor send the words of an earlier utterance, if its stream is still open."""
        if not self.late or (model := self.vendor.open) is None:
            return
        tape, number, text = self.late.pop(0)
        if tape is self.vendor.tapes[-1]:
            model.hear(Transcript(text, final=True, utterance=number))
            self.transcribed.append(text)

    def hear_stale(self) -> None:
        """Let the user speak while pieces of an answer are in transit."""
        model = self.vendor.open
        if model is None or self.has_vad or not self.vendor.tapes[-1].asked:
            return
        stream: Any = model._stream  # pyright: ignore[reportPrivateUsage]
        if stream._answers:
            model.hear(SpeechBegan(), Text("stale"), Audio(array("h", [32_767] * 800).tobytes(), RATE), SpeechEnded())
            self.utterances[self.vendor.tapes[-1]] = self.utterances.get(self.vendor.tapes[-1], 0) + 1


def heard_words(wire: Wire) -> list[tuple[int, int, int]]:
    """The words that the client has heard, in order: the answer, the word, and the number of its last frame."""
    found = list[tuple[int, int, int]]()
    for frame, (_, audio) in enumerate(wire.heard):
        for value, _ in groupby(array("h", audio.data)):
            if value == 0:
                continue
            assert value != 32_767, "stale audio was heard"
            answer, word = divmod(value - 1, MOST_WORDS)
            if found and found[-1][:2] == (answer, word):
                found[-1] = (answer, word, frame)
            else:
                found.append((answer, word, frame))
    return found


def check_heard(talk: Talk) -> dict[int, int]:
    """Check that each answer was heard from its beginning without a gap, and not after its end."""
    vendor, heard = talk.vendor, heard_words(talk.wire)
    by_answer = {key: list(group) for key, group in groupby(heard, key=lambda each: each[0])}
    order = [key for key, _ in groupby(heard, key=lambda each: each[0])]
    assert sorted(order) == sorted(by_answer), f"an answer came back: {order}"
    for tape in vendor.tapes:
        for number, answer in enumerate(tape.asked):
            words = by_answer.get(answer % 1000, [])
            assert [word for _, word, _ in words] == list(range(len(words))), f"answer {answer} has gaps"
            told = tape.told(number)
            assert len(told) <= 1, f"the vendor was told twice of answer {answer}"
            if told:
                assert not words or words[-1][2] <= told[0][1] + 2, f"answer {answer} was heard after it was stopped"
                assert told[0][0].seconds == pytest.approx(len(words) * WORD_SECONDS, abs=WORD_SECONDS + 0.07)
            elif len(words) < vendor.lengths[answer]:
                assert tape is not vendor.tapes[-1], f"the vendor was not told that answer {answer} was cut short"
    return {answer: len(words) for answer, words in by_answer.items()}


def check_context(talk: Talk, messages: list[dict[str, Any]], heard: dict[int, int]) -> None:
    """Check that the context has the heard words once and in order, and each line of the user before its answer."""
    check_conversation([{name: value for name, value in each.items() if name != "interrupted"} for each in messages])
    assert "stale" not in str(messages)
    lines = [word for each in messages if each["role"] == "user" for word in each["content"].split() if word != "A"]
    lines = [each for each in lines if each != "note."]
    assert sorted(lines) == sorted({*lines}), "a line is in the context twice"
    typed = [each for each in lines if each.startswith("t")]
    assert typed == [each for each in talk.lines if each.startswith("t")]
    spoken = [each for each in lines if each.startswith("u")]
    missing = {*talk.transcribed} - {*spoken}
    assert not missing, f"lines are missing: {missing} {lines}"
    places = {
        line: at for at, each in enumerate(messages) if each["role"] == "user" for line in each["content"].split()
    }
    for at, each in enumerate(messages):
        if each["role"] != "assistant" or not each["content"]:
            continue
        words = each["content"].replace(".", "").split()
        answer = int(words[0][1:].partition("w")[0])
        assert words == [f"a{answer}w{index}" for index in range(len(words))], words
        played = heard.get(answer % 1000, 0)
        assert len(words) <= played + 1, f"{len(words)} words of answer {answer} were remembered, {played} were heard"
        if answer in talk.vendor.has_times:
            assert len(words) >= played - 1, f"{len(words)} words of answer {answer} remembered, {played} were heard"
        line = talk.vendor.answers_to[answer]
        assert line not in places or places[line] < at, f"{line} stands behind its answer"


def check_functions(talk: Talk) -> None:
    """Check that each call has one result in its own stream. Only the last of an answer may ask for another."""
    for tape in talk.vendor.tapes:
        results = [each.id for each, _ in tape.items if isinstance(each, FunctionResult)]
        assert len(results) == len({*results}), "a call has two results"
        assert {*results} <= {talk.vendor.calls.get(answer) for answer in tape.asked}


async def converse_at_random(seed: int, steps: int, *, has_vad: bool) -> int:
    """Hold one conversation. Return how often the bot was interrupted. A failure has the seed in its traceback."""
    vendor = Vendor(random.Random(seed))
    first, second = vendor.models
    try:
        async with talking(first, second, made=watched if has_vad else talker) as wire:
            vendor.wires.append(wire)
            talk = Talk(seed, wire, vendor, has_vad=has_vad)
            for _ in range(steps):
                await talk.step()
            await check_end(talk)
    except BaseException as error:
        error.add_note(f"The seed is {seed}.")
        raise
    assert sum(each.open for each in vendor.models) == 0
    return sum(each["interrupted"] for each in wire.data_of("bot-turn-ended"))


async def check_end(talk: Talk) -> None:
    """Check the end of the conversation, and everything that happened before."""
    wire = talk.wire
    for _ in list(talk.late):
        talk.transcribe_late()
    await settle()
    await write(wire, f"t{len(talk.lines)}")
    talk.lines.append(f"t{len(talk.lines)}")
    await silence(wire, 14.0)
    messages = (await wire.result(wire.call("speech:get_context")))["messages"]
    heard = check_heard(talk)
    check_context(talk, messages, heard)
    check_functions(talk)
    assert sum(each.open for each in talk.vendor.models) == 1
    assert types(wire).count("user-started-speaking") == types(wire).count("user-stopped-speaking")
    assert not wire.connection.closed


@pytest.mark.slow
@pytest.mark.parametrize("has_vad", [False, True], ids=["the vendor's endpointing", "a VAD of the bot"])
async def test_nothing_stale_is_heard_or_remembered(has_vad: bool) -> None:
    """Conversations with random steps are held until there were enough interruptions."""
    assert isinstance(ScriptedSpeechModel(), SpeechModel)
    interruptions, seed = 0, SEED
    while interruptions < INTERRUPTIONS:
        interruptions += await converse_at_random(seed, 30, has_vad=has_vad)
        seed += 1
