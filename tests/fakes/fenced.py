"""Services whose every token and sample says which turn, and which provider, it is of."""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.lowlevel
from attrs import define, field

from rtvi_plugins import service
from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest, Text, ToolCall, TTSPiece, TTSRequest, Word

from .scripted import check_conversation

__all__ = ("Count", "count", "first_llm", "first_tts", "other_llm", "other_tts")

#: The length of a sentence's audio, in seconds for each of its characters.
CHARACTER = 0.02


@define
class Count:
    """Streams that were opened and closed, and the answers so far. `dice` decides what an answer is like."""

    opened: int = 0
    closed: int = 0
    answers: int = 0
    full: dict[int, str] = field(factory=dict[int, str])
    dice: random.Random = field(factory=random.Random)

    def begin(self, seed: int) -> None:
        """A new conversation."""
        self.opened = self.closed = self.answers = 0
        self.full = {}
        self.dice = random.Random(seed)


count = Count()


@define
class NumberedLLM:
    """Each word of its answer begins with the number of the answer and the letter of the provider."""

    letter: str

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Some sentences, and now and then a function call."""
        check_conversation(request.messages)
        count.opened += 1
        count.answers += 1
        number = count.answers
        words = [f"{number}{self.letter}{index}" for index in range(count.dice.randint(2, 12))]
        text = " ".join(f"{word}." if index % 4 == 3 else word for index, word in enumerate(words))
        count.full[number] = text
        try:
            for piece in re.findall(r"\S+\s*", text):
                yield Text(piece)
                for _ in range(count.dice.randint(0, 3)):
                    await anyio.lowlevel.checkpoint()
            if count.dice.random() < 0.25:
                yield ToolCall(f"call-{number}", "look", {})
        finally:
            count.closed += 1


@define
class NumberedTTS:
    """Each sample is the number of the answer that is spoken; those of the other provider are below 0."""

    sign: int
    words: bool

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """The audio of a sentence, in pieces."""
        count.opened += 1
        at = 0.0
        try:
            async for text in request.text:
                number = re.match(r"\d+", text)
                sample = self.sign * (int(number[0]) if number else 0)
                for word in text.split():
                    if self.words:
                        yield Word(word, at)
                    seconds = CHARACTER * (len(word) + 1)
                    at += seconds
                    yield Audio(array("h", [sample] * round(seconds * 16_000)).tobytes(), 16_000)
                    await anyio.lowlevel.checkpoint()
        finally:
            count.closed += 1


@service("llm", "first")
@asynccontextmanager
async def first_llm() -> AsyncGenerator[NumberedLLM]:
    """The one that a session starts with."""
    yield NumberedLLM("a")


@service("llm", "other")
@asynccontextmanager
async def other_llm() -> AsyncGenerator[NumberedLLM]:
    """The one to switch to."""
    yield NumberedLLM("b")


@service("tts", "first")
@asynccontextmanager
async def first_tts() -> AsyncGenerator[NumberedTTS]:
    """The one that a session starts with."""
    yield NumberedTTS(1, words=False)


@service("tts", "other")
@asynccontextmanager
async def other_tts() -> AsyncGenerator[NumberedTTS]:
    """The one to switch to; it tells when words start."""
    yield NumberedTTS(-1, words=True)
