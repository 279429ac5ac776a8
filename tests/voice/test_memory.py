"""Which part of an answer enters the context: the part that the user has heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest

from rtvi_plugins.kinds import (
    Text,
    ToolCall,
    TTSPiece,
    TTSRequest,
    Word,
)

from ..fakes.conversation import FORTY, context, said, shown, silence, speak, texts, wait, write
from ..fakes.providers import Fakes, samples, spell
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


async def speak_one_sentence(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    """Make the first sentence, and then nothing more."""
    async for text in request.text:
        for each in text:
            yield samples(ord(each), 0.06)
        await anyio.sleep_forever()


async def test_words_with_times_are_reported_as_they_are_heard() -> None:
    """The context has the answer up to the last of them."""
    fakes = Fakes([Text(FORTY)])
    async with fakes.session(body={"services": {"tts": "words"}}) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.6)
        assert texts(wire.data_of("bot-tts-text")) == ["Now", "this", "is"]
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "Now this is")]


async def test_an_answer_that_is_interrupted_before_its_speech_was_made_was_not_said() -> None:
    """Its text was complete, but the user has heard nothing."""
    fakes = Fakes([Text("The password is swordfish. The flight is booked.")], [Text("Yes?")], held=True)
    async with fakes.session() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        assert shown(wire) == ["The password is swordfish.", "The flight is booked."]
        wire.call("tts:interrupt")
        await settle()
        assert wire.heard == []
        assert await said(wire) == [("user", "what time is it")]


async def test_speech_that_stalls_is_remembered_as_far_as_it_was_made() -> None:
    """The rest was never made. The user has heard all of the audio that was made."""
    fakes = Fakes([Text("One sentence. Two sentences. Three.")], tts=speak_one_sentence)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 2.0)
        assert len(wire.heard) * 0.02 == pytest.approx(len("One sentence.") * 0.06)
        wire.call("tts:interrupt")
        await settle()
        answer = (await context(wire))[1]
        assert answer["interrupted"] is True
        assert answer["content"].startswith("One")
        assert "Two" not in answer["content"]


async def test_a_second_answer_whose_speech_stalls_leaves_the_first_alone() -> None:
    """The LLM was asked twice. The context has the heard part of the first answer, and nothing else."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            if text.startswith("Found"):
                await anyio.sleep_forever()
            yield spell(text)

    fakes = Fakes([Text("Let me look."), ToolCall("1", "look", {})], [Text("Found ten of them.")], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        wire.send(
            "llm-function-call-result", {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        )
        await wait(wire, 2.0)
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "Let me look."), ("tool", "ok")]


async def test_languages_without_spaces_are_heard_by_characters() -> None:
    """The text has no spaces between words, so it is cut between characters."""
    fakes = Fakes()
    text = "これは日本語のとても長い文章で、途中で止められます。"
    fakes = Fakes([Text(text)], [Text("はい。")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 0.7)
        wire.call("tts:interrupt")
        await settle()
        answer = (await context(wire))[1]
        assert text.startswith(answer["content"])
        assert 8 <= len(answer["content"]) <= 14
        assert answer["interrupted"] is True
        assert [each["spoken_status"] for each in wire.data_of("bot-output")] == ["new", "in-progress"]


async def test_a_word_is_found_near_its_place_and_whole() -> None:
    """A word that the TTS reads in another way does not match the same word further on."""
    text = "I have 1 cat at home, and about its ways I could tell you very much more, then another one."

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for piece in request.text:
            for index, word in enumerate(["I", "have", "one", "cat", "at"]):
                yield Word(word, index * 0.2)
            yield spell(piece)

    fakes = Fakes([Text(text)], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 0.7)
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "I have 1 cat")]


async def test_an_answer_of_nothing_but_space_is_not_remembered() -> None:
    """A vendor would refuse a conversation with it."""
    fakes = Fakes([Text("  "), Text("\n")], [Text("Fine.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
