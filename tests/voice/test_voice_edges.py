"""More of what goes wrong around a turn: slow vendors, noises, floods, other scripts, and what a client may send."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

import anyio
import pytest

from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest, STTPiece, STTRequest, Text, ToolCall, Transcript
from rtvi_plugins.voice import TurnTaking, UserTurn
from rtvi_plugins.voice.sentences import Sentences
from rtvi_plugins.voice.timeline import Timeline

from ..fakes.awkward import NOISE, acts, begin
from ..fakes.scripted import script
from ..fakes.spoken import silence, speak
from ..fakes.wire import settle
from ..runtime.test_audio import Ear, Transport
from .test_timeline import timeline_of
from .test_voice_faults import failures, later, said, talking, write

# ---- turns -----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_noise_that_is_over_before_its_interruption_is_takes_no_answer_away() -> None:
    """A vendor's stream may be slow to close."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        script.requests.append(request)
        if len(script.requests) > 1:
            yield Text("Noon.")
            return
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await acts.gate.wait()

    begin(llm=respond)
    script.write()
    async with talking("awkward") as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        await speak(wire, NOISE, 0.3)
        await silence(wire, 1.0)
        acts.gate.set()
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


@pytest.mark.anyio
async def test_a_noise_while_a_function_is_carried_out_does_not_take_the_answer_away() -> None:
    """Nothing was heard of it, though its call is remembered as cancelled."""
    begin()
    script.write([ToolCall("1", "look", {})], [Text("Again.")])
    async with talking() as wire:
        await write(wire)
        await speak(wire, NOISE, 0.3)
        await silence(wire, 2.0)
        assert (await said(wire))[-1] == ("assistant", "Again.")


@pytest.mark.anyio
async def test_a_single_piece_of_thousands_of_sentences_does_not_end_the_session() -> None:
    """They are sent before they are too many to wait."""
    begin()
    script.write([Text("a. " * 15_000)])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        for _ in range(30):
            await settle()
        assert wire.connection.closed is False


@pytest.mark.anyio
async def test_thousands_of_transcripts_do_not_end_the_session() -> None:
    """Even when they come all at once."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        for _ in range(12_000):
            yield Transcript("hello", final=False)
        yield Transcript("hello there", final=True)

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert wire.connection.closed is False


@pytest.mark.anyio
async def test_a_policy_that_hangs_is_given_up_and_the_user_answered(caplog: pytest.LogCaptureFixture) -> None:
    """As a provider that does."""

    async def end_of_turn(turn: UserTurn) -> float:
        await anyio.sleep_forever()
        return 0.0

    begin(taking=TurnTaking(end_of_turn=end_of_turn))
    script.write([Text("Fine.")])
    async with talking() as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await speak(wire, 1, 0.5)
            await later(wire, 20.0)
        assert (await said(wire))[0] == ("user", "hello there")
        assert failures(wire) == []
        assert any("end_of_turn" in each for each in caplog.messages)


@pytest.mark.anyio
async def test_a_piece_that_is_cut_within_a_sample_does_not_deafen_the_bot() -> None:
    """What follows it is heard as it was recorded."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        wire.connection.receive_audio(Audio(b"\0", 16_000))
        await speak(wire, 1, 0.5)
        await silence(wire, 1.5)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]


# ---- audio -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_users_audio_is_heard_in_whole_samples(rate: int, caplog: pytest.LogCaptureFixture) -> None:
    """A client that sends half of one fills no log."""
    link, ear = Transport().link(), Ear()
    with link.listening(ear), caplog.at_level(logging.ERROR, "rtvi_plugins"):
        for _ in range(100):
            link.receive(Audio(b"\1\0" * 99 + b"\1", rate))
    assert caplog.messages == []
    assert ear.heard != []
    assert all(len(each.data) % 2 == 0 for each in ear.heard)


# ---- what was heard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("Привет мир", "Как дела?"), ("Oh là là…", "Écoute bien.")])
def test_languages_with_spaces_have_one_between_pieces(first: str, second: str) -> None:
    """Though their letters are not ASCII's."""
    assert timeline_of((first, 1.0), (second, 1.0)).text == f"{first} {second}"


def test_words_of_a_language_without_spaces_are_found() -> None:
    """Each follows the one before without a gap."""
    timeline = timeline_of(("これは日本語です。", 3.0))
    for word, start in (("これは", 0.0), ("日本語", 1.0), ("です", 2.0)):
        timeline.word(word, start)
    assert [timeline.heard_text(seconds) for seconds in (0.5, 1.5, 2.5)] == [
        "これは",
        "これは日本語",
        "これは日本語です",
    ]


def test_a_word_of_any_alphabet_is_found_whole() -> None:
    """Not as the beginning of another."""
    timeline = timeline_of(("Это нет не так.", 3.0))
    timeline.word("Это", 0.0)
    timeline.word("не", 1.0)
    assert timeline.heard_text(1.5) == "Это нет не"


def test_a_sentence_of_one_word_is_heard_whole() -> None:
    """That it has no space does not make it Japanese."""
    timeline = Timeline()
    timeline.take("Absolutely.")
    timeline.made(1.1)
    timeline.finish()
    assert [timeline.heard_text(seconds) for seconds in (0.5, 1.1)] == ["", "Absolutely."]


# ---- sentences -------------------------------------------------------------------------------------------------------


def test_no_sentence_is_empty_however_much_space_there_is() -> None:
    """What is too long is cut, and space is nothing to say."""
    cutter = Sentences()
    assert [*cutter.feed(" " * 1_300 + "b"), *cutter.flush()] == ["b"]


def test_abbreviations_without_number_take_a_time_in_proportion() -> None:
    """The sentence is not copied for each of them."""
    cutter = Sentences()
    found = cutter.feed("Dr. " * 400_000)
    assert sum(sentence.count("Dr.") for sentence in [*found, *cutter.flush()]) == 400_000
