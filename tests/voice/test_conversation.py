"""A spoken conversation: the events of a turn, what is spoken when, functions, and providers that are replaced."""

from __future__ import annotations

import json
import shutil
import wave
from array import array
from collections.abc import AsyncGenerator
from itertools import groupby
from pathlib import Path

import pytest

from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    Text,
    ToolCall,
    Usage,
)

from ..fakes.conversation import FORTY, failures, said, shown, silence, speak, spoken, texts, types, wait, write
from ..fakes.providers import WAIT, Fakes
from ..fakes.wire import connected, settle

pytestmark = pytest.mark.anyio


def recorded_in(folder: Path) -> tuple[list[str], array[int]]:
    """The texts of a session's transcript, and its samples: the user's, then the bot's."""
    lines = [json.loads(line) for line in next(folder.glob("*.jsonl")).read_text("utf-8").splitlines()]
    with wave.open(str(next(folder.glob("*.wav")))) as recorded:
        assert (recorded.getnchannels(), recorded.getframerate()) == (2, 16_000)
        return texts(lines), array("h", recorded.readframes(recorded.getnframes()))


async def test_a_transport_may_carry_only_the_users_audio() -> None:
    """The bot hears the user, and answers in text."""
    fakes = Fakes([Text("It is noon.")])
    async with connected(fakes.talker(), fakes, ready=False) as wire:
        wire.connection.open_audio(None)
        wire.send("client-ready", {"version": "2.1.0"})
        await speak(wire, 2, 1.0)
        await silence(wire, 3.0)
        assert wire.data_of("user-llm-text") == [{"text": "what time is it"}]
        assert wire.data_of("bot-transcription") == [{"text": "It is noon."}]
        assert wire.data_of("bot-started-speaking") == []
        assert (wire.connection.session.hears_audio, wire.connection.session.has_audio) == (True, False)


async def test_the_user_is_heard_and_answered_aloud() -> None:
    """The client gets every event of the turn, in the documented order."""
    fakes = Fakes([Text("It is "), Text("noon. Sleep "), Text("well."), Usage(3, 5)])
    async with fakes.session() as wire:
        await speak(wire, 2, 1.0)
        await silence(wire, 3.0)
        sequence = types(wire, "metrics", "bot-transcription")
        assert sequence[:6] == [
            "user-started-speaking",
            "user-transcription",
            "user-stopped-speaking",
            "user-transcription",
            "user-llm-text",
            "bot-llm-started",
        ]
        # The answer is thought, made and heard at the same time: each of these goes on by itself.
        thought = [each for each in sequence if each.startswith("bot-llm")]
        assert thought == ["bot-llm-started", "bot-llm-text", "bot-llm-text", "bot-llm-text", "bot-llm-stopped"]
        heard = [each for each in sequence if each in ("bot-tts-started", "bot-started-speaking", "bot-tts-text")]
        assert heard == ["bot-tts-started", "bot-started-speaking", "bot-tts-text", "bot-tts-text"]
        assert sequence[-3:] == ["bot-output", "bot-stopped-speaking", "bot-turn-ended"]
        assert [(each["segment_id"], each["spoken_status"]) for each in wire.data_of("bot-output")] == [
            (1, "new"),
            (2, "new"),
            (1, "in-progress"),
            (1, "completed"),
            (2, "in-progress"),
            (2, "completed"),
        ]
        assert [(each["text"], each["final"]) for each in wire.data_of("user-transcription")] == [
            ("what", False),
            ("what time is it", True),
        ]
        assert spoken(wire).rstrip() == "It is noon. Sleep well."
        assert await said(wire) == [("user", "what time is it"), ("assistant", "It is noon. Sleep well.")]


async def test_speech_is_played_in_real_time_with_a_small_lead() -> None:
    """However fast the audio is made, the client gets only a few frames in advance."""
    fakes = Fakes([Text(FORTY)])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        assert 2 <= len(wire.heard) <= 3
        await wait(wire, 1.0)
        assert 52 <= len(wire.heard) <= 53


@pytest.mark.parametrize("text", ["Let me look.", "Let me look. ", "**Let me look.**", "Let me look?\n", "好。"])
async def test_a_finished_sentence_is_spoken_while_the_llm_says_nothing_more(text: str) -> None:
    """For example while the LLM writes a function call. It is spoken also without a space after the mark."""
    fakes = Fakes([Text(text), WAIT])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.25)
        assert fakes.texts == [text.strip().strip("*")]


async def test_metrics_cover_every_part() -> None:
    """There are the time to the first byte of each service, tokens, characters, and the time from voice to voice."""
    fakes = Fakes([Text("Fine."), Usage(3, 5)])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        measured = {name: each for metrics in wire.data_of("metrics") for name, (each,) in metrics.items()}
        assert measured["tokens"]["total_tokens"] == 8
        assert measured["characters"]["value"] == 6
        assert 0.4 < measured["voice_to_voice"]["value"] < 0.6
        assert {each["ttfb"][0]["processor"] for each in wire.data_of("metrics") if "ttfb" in each} == {
            "stt",
            "llm",
            "tts",
        }


async def test_a_function_is_called_while_the_bot_speaks() -> None:
    """Its result and the text before it enter the context once, and in order."""
    fakes = Fakes([Text("Let me look."), ToolCall("1", "look", {})], [Text("Found it.")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        assert [each["function_name"] for each in wire.data_of("llm-function-call-in-progress")] == ["look"]
        wire.send(
            "llm-function-call-result", {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        )
        await wait(wire, 3.0)
        assert spoken(wire).rstrip() == "Let me look. Found it."
        assert await said(wire) == [
            ("user", "go"),
            ("assistant", "Let me look."),
            ("tool", "ok"),
            ("assistant", "Found it."),
        ]
        assert [len(each.messages) for each in fakes.requests] == [1, 3]


async def test_a_tts_that_is_replaced_finishes_its_turn() -> None:
    """With `interrupt`, the rest is not heard."""
    fakes = Fakes([Text(FORTY)], [Text("Fine.")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.5)
        answer = await wire.answer(wire.update(tts={"provider": "words"}))
        assert answer["data"]["applies"] == "next-turn"
        await wait(wire, 2.5)
        assert spoken(wire).rstrip() == FORTY


async def test_another_service_that_is_replaced_does_not_concern_the_stt() -> None:
    """The speech is heard once."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        for name in ("words", "spell", "words"):
            await wire.answer(wire.update(tts={"provider": name}))
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert fakes.begun["stt"] == 1
        assert wire.data_of("error") == []


async def test_an_stt_that_is_replaced_leaves_the_utterance_to_the_new_one() -> None:
    """No transcript of the old STT is kept."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await wire.answer(wire.update(stt={"provider": "second"}))
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert fakes.stts == ["script", "second"]


async def test_three_texts_typed_at_once_get_one_answer() -> None:
    """The LLM is asked once, with all three texts."""
    fakes = Fakes([Text("Fine.")], [Text("Too much.")], [Text("Far too much.")])
    async with fakes.session() as wire:
        for text in ("one", "two", "three"):
            wire.send("send-text", {"content": text, "options": {}})
        await wait(wire, 2.0)
        assert [[each["content"] for each in request.messages] for request in fakes.requests] == [
            ["one", "two", "three"]
        ]
        assert (await said(wire))[-1] == ("assistant", "Fine.")
        assert "bot-interrupted" not in types(wire)


async def test_merged_words_are_recorded_too(tmp_path: Path) -> None:
    """The recording has everything that was said."""
    fakes = Fakes([WAIT], [Text("Fine.")])
    async with fakes.session(record=tmp_path) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
    lines, samples = recorded_in(tmp_path)
    assert lines == ["hello there", "and then", "Fine."]
    assert {each for each in samples[0::2] if each} == {1, 4}
    assert "".join(chr(each) for each, _ in groupby(each for each in samples[1::2] if each)).strip() == "Fine."


async def test_a_session_that_cannot_be_recorded_continues(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line about it."""
    fakes = Fakes([Text("Fine.")])
    folder = tmp_path / "recordings"
    async with fakes.session(record=folder, ready=False) as wire:
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")
        wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await write(wire)
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
    assert any("is not recorded" in each for each in caplog.messages)


async def test_an_answer_in_thousands_of_pieces_does_not_end_the_session() -> None:
    """The pieces are sent as they come, before too many wait."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        for _ in range(12_000):
            yield Text("a ")

    fakes = Fakes(llm=respond)
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        for _ in range(30):
            await settle()
        assert wire.connection.closed is False
        assert failures(wire) == []
        assert len(wire.data_of("bot-llm-text")) == 12_000


async def test_thousands_of_dots_are_an_answer_like_any_other() -> None:
    """While the LLM sends them, other sessions continue."""
    fakes = Fakes([Text("." * 400_000), Text(" Fine.")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        text = "".join(shown(wire))
        assert (text.count("."), text[-5:]) == (400_001, "Fine.")


async def test_a_single_piece_of_thousands_of_sentences_does_not_end_the_session() -> None:
    """The sentences are sent before too many of them wait."""
    fakes = Fakes([Text("a. " * 15_000)])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        for _ in range(30):
            await settle()
        assert wire.connection.closed is False
