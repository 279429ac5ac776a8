"""The spoken turn loop: turn-taking, barge-in, what is heard and what is remembered, on a clock that stands still."""

from __future__ import annotations

import json
import wave
from array import array
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse
from rtvi_plugins.kinds import Text, ToolCall, Usage
from rtvi_plugins.voice import TurnTaking

from ..fakes import scripted, spoken
from ..fakes.scripted import LOOK, WAIT, script
from ..fakes.spoken import RATE, begin, plan, silence, speak, texts, wait
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

CLIENT = [
    *"llm:get_context llm:run tts:say tts:interrupt llm.provider tts.provider stt.provider vad.params".split(),
]
SERVICES: dict[str, Any] = {
    "llm": ["scripted", "other"],
    "stt": ["script", "second"],
    "tts": ["spell", "words"],
    "vad": "code",
}
FORTY = "Now this is a sentence of forty letters."


@bot(services=SERVICES, config=LOOK, client=CLIENT, public=True)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


def talking(bot: Any = talker, **how: Any) -> Any:
    """A session with audio, its client ready."""
    return connected(bot, scripted, spoken, audio=RATE, **how)


def types(wire: Wire, *leave_out: str) -> list[str]:
    """What the client was told, in order."""
    return [each["type"] for each in wire.received if each["type"] not in ("bot-ready", *leave_out)]


async def context(wire: Wire) -> list[dict[str, Any]]:
    """The conversation as the client reads it."""
    messages: list[dict[str, Any]] = (await wire.result(wire.call("llm:get_context")))["messages"]
    return messages


async def said(wire: Wire) -> list[tuple[str, Any]]:
    """The conversation as pairs of role and content."""
    return [(each["role"], each["content"]) for each in await context(wire)]


# ---- a turn ----------------------------------------------------------------------------------------------------------


async def test_the_user_is_heard_and_answered_aloud() -> None:
    """Every event of it, in the documented order."""
    begin()
    script.write([Text("It is "), Text("noon. Sleep "), Text("well."), Usage(3, 5)])
    async with talking() as wire:
        await speak(wire, 2, 1.0)
        await silence(wire, 3.0)
        told = types(wire, "metrics", "bot-transcription")
        assert told[:6] == [
            "user-started-speaking",
            "user-transcription",
            "user-stopped-speaking",
            "user-transcription",
            "user-llm-text",
            "bot-llm-started",
        ]
        # The answer is thought, made and heard at the same time: each of these goes on by itself.
        thought = [each for each in told if each.startswith("bot-llm")]
        assert thought == ["bot-llm-started", "bot-llm-text", "bot-llm-text", "bot-llm-text", "bot-llm-stopped"]
        heard = [each for each in told if each in ("bot-tts-started", "bot-started-speaking", "bot-tts-text")]
        assert heard == ["bot-tts-started", "bot-started-speaking", "bot-tts-text", "bot-tts-text"]
        assert told[-2:] == ["bot-output", "bot-stopped-speaking"]
        assert [(each["segment_id"], each["spoken_status"]) for each in wire.told("bot-output")] == [
            (1, "new"),
            (2, "new"),
            (1, "in-progress"),
            (1, "completed"),
            (2, "in-progress"),
            (2, "completed"),
        ]
        assert [(each["text"], each["final"]) for each in wire.told("user-transcription")] == [
            ("what", False),
            ("what time is it", True),
        ]
        assert spoken.spoken(wire).rstrip() == "It is noon. Sleep well."
        assert await said(wire) == [("user", "what time is it"), ("assistant", "It is noon. Sleep well.")]


async def test_speech_is_played_in_real_time_with_a_small_lead() -> None:
    """However fast it is made, a client is never sent more than it can take back."""
    begin()
    script.write([Text(FORTY)])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        assert 2 <= len(wire.heard) <= 3
        await wait(wire, 1.0)
        assert 52 <= len(wire.heard) <= 53


async def test_speaking_over_the_bot_silences_it_within_a_frame() -> None:
    """Nothing stale follows, and what was heard is what is remembered."""
    begin()
    script.write([Text(FORTY)], [Text("Yes?")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await silence(wire, 1.0)
        await speak(wire, 3, 0.2)
        played = len(wire.heard)
        await speak(wire, 3, 0.3)
        assert len(wire.heard) <= played + 2
        kinds = types(wire)
        assert (
            kinds.index("user-started-speaking") < kinds.index("bot-interrupted") < kinds.index("bot-stopped-speaking")
        )
        played = len(wire.heard)
        await silence(wire, 0.4)
        assert len(wire.heard) == played
        await silence(wire, 1.0)
        ((_, _), (_, heard), *rest) = await said(wire)
        assert FORTY.startswith(heard)
        assert 15 <= len(heard) <= 26
        assert (await context(wire))[1]["interrupted"] is True
        assert rest == [("user", "stop"), ("assistant", "Yes?")]
        assert plan.opened == plan.closed - plan.utterances


async def test_a_cough_does_not_interrupt() -> None:
    """Speech over the bot must last for a moment to count."""
    begin()
    script.write([Text(FORTY)])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await silence(wire, 0.5)
        await speak(wire, 3, 0.12)
        await silence(wire, 3.0)
        assert "user-started-speaking" not in types(wire)
        assert await said(wire) == [("user", "go"), ("assistant", FORTY)]


async def test_speech_that_goes_on_before_the_answer_is_heard_is_one_turn() -> None:
    """The first answer, of which nothing was heard, leaves nothing."""
    begin()
    script.write([WAIT], [Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        assert len(script.requests) == 1
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert texts(wire.told("user-llm-text")) == ["hello there", "hello there and then"]


async def test_a_pause_within_a_sentence_ends_no_turn() -> None:
    """Silence that is shorter than `stop_secs` is part of the speech."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.3)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert plan.utterances == 1


@pytest.mark.parametrize("text", ["Let me look.", "Let me look. ", "**Let me look.**", "Let me look?\n", "好。"])
async def test_a_finished_sentence_is_spoken_while_the_llm_says_nothing_more(text: str) -> None:
    """As before a function call that takes the LLM seconds to write, also without a space behind the mark."""
    begin()
    script.write([Text(text), WAIT])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.25)
        assert plan.asked == [text.strip().strip("*")]


async def test_words_that_the_tts_times_are_told_as_they_are_heard() -> None:
    """And cut what is remembered at the last of them."""
    begin()
    script.write([Text(FORTY)])
    async with talking(body={"services": {"tts": "words"}}) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.6)
        assert texts(wire.told("bot-tts-text")) == ["Now", "this", "is"]
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "Now this is")]


async def test_silence_is_inferred_when_nothing_comes() -> None:
    """Published clients send nothing while their microphone is off."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await wait(wire, 1.5)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]


async def test_a_microphone_that_is_switched_off_ends_what_was_said() -> None:
    """At once: no silence has to be waited for."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        wire.connection.microphone(False)
        await settle()
        assert "user-stopped-speaking" in types(wire)


async def test_the_metrics_tell_of_every_part() -> None:
    """Time to first byte of each service, tokens, characters, and from voice to voice."""
    begin()
    script.write([Text("Fine."), Usage(3, 5)])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        told = {name: each for metrics in wire.told("metrics") for name, (each,) in metrics.items()}
        assert told["tokens"]["total_tokens"] == 8
        assert told["characters"]["value"] == 6
        assert 0.4 < told["voice_to_voice"]["value"] < 0.6
        assert {each["ttfb"][0]["processor"] for each in wire.told("metrics") if "ttfb" in each} == {
            "stt",
            "llm",
            "tts",
        }


# ---- failures --------------------------------------------------------------------------------------------------------


async def test_a_provider_that_fails_for_good_is_apologised_for() -> None:
    """Silence would be no answer."""
    begin()
    script.write([ProviderError("scripted", "auth")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 6.0)
        assert spoken.spoken(wire).startswith("I am sorry")
        assert [each["code"] for each in wire.told("error")] == ["provider-failed"]


async def test_a_failure_that_passes_is_not_noticed() -> None:
    """An LLM that may work the second time is asked again."""
    begin()
    script.write([ProviderError("scripted", "rate")], [Text("Fine.")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
        assert wire.told("error") == []


async def test_a_tts_that_fails_leaves_the_text() -> None:
    """The client shows it, so it counts as said."""
    begin(tts_error=ProviderError("spell", "quota"))
    script.write([Text("Fine.")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
        assert wire.heard == []
        assert [each["code"] for each in wire.told("error")] == ["provider-failed"]


@pytest.mark.parametrize("which", ["stt_error", "vad_error"])
async def test_a_bot_that_cannot_hear_says_so_and_can_be_written_to(which: str) -> None:
    """Typed text is the way out."""
    begin(**{which: ProviderError("script", "unavailable")})
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 6.0)
        assert [each["code"] for each in wire.told("error")] == ["provider-failed"]
        assert spoken.spoken(wire).startswith("I am sorry")
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert ("assistant", "Fine.") in await said(wire)


# ---- functions and changes -------------------------------------------------------------------------------------------


async def test_a_function_is_called_while_the_bot_speaks() -> None:
    """Its results, and what was said before, enter the context once and in order."""
    begin()
    script.write([Text("Let me look."), ToolCall("1", "look", {})], [Text("Found it.")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        assert [each["function_name"] for each in wire.told("llm-function-call-in-progress")] == ["look"]
        wire.send(
            "llm-function-call-result", {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        )
        await wait(wire, 3.0)
        assert spoken.spoken(wire).rstrip() == "Let me look. Found it."
        assert await said(wire) == [
            ("user", "go"),
            ("assistant", "Let me look."),
            ("tool", "ok"),
            ("assistant", "Found it."),
        ]
        assert [len(each.messages) for each in script.requests] == [1, 3]


async def test_a_tts_that_is_replaced_finishes_its_turn() -> None:
    """With `interrupt` it is not heard any more."""
    begin()
    script.write([Text(FORTY)], [Text("Fine.")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 0.5)
        answer = await wire.answer(wire.update(tts={"provider": "words"}))
        assert answer["data"]["applies"] == "next-turn"
        await wait(wire, 2.5)
        assert spoken.spoken(wire).rstrip() == FORTY


async def test_another_service_that_is_replaced_does_not_concern_the_stt() -> None:
    """What is being said is heard once."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        for name in ("words", "spell", "words"):
            await wire.answer(wire.update(tts={"provider": name}))
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert plan.utterances == 1
        assert wire.told("error") == []


async def test_an_stt_that_is_replaced_leaves_the_utterance_to_the_new_one() -> None:
    """Nothing of what the old one heard is kept."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await wire.answer(wire.update(stt={"provider": "second"}))
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert [name for name in plan.asked if name in ("script", "second")] == ["script", "second"]


# ---- manners ---------------------------------------------------------------------------------------------------------


@bot(services=SERVICES, client=CLIENT, public=True)
async def polite(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Greets, waits, asks, and lets nobody interrupt."""
    taking = TurnTaking(interruptible=False, idle_seconds=5.0, idle_text="Hello?", longest_turn_seconds=2.0)
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=taking, greeting="Good day.")


async def test_the_bot_speaks_first() -> None:
    """The greeting is spoken and remembered."""
    begin()
    script.write()
    async with talking(polite) as wire:
        await wait(wire, 1.0)
        assert spoken.spoken(wire).rstrip() == "Good day."
        assert await said(wire) == [("assistant", "Good day.")]


async def test_a_user_who_says_nothing_is_asked_once() -> None:
    """And again only after they have said something."""
    begin()
    script.write([Text("Fine.")])
    async with talking(polite) as wire:
        await wait(wire, 15.0)
        assert spoken.spoken(wire).count("Hello?") == 1
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 15.0)
        assert spoken.spoken(wire).count("Hello?") == 2


async def test_a_bot_that_may_not_be_interrupted_goes_on() -> None:
    """What is said over it is not heard."""
    begin()
    script.write()
    async with talking(polite) as wire:
        await speak(wire, 3, 0.3)
        await silence(wire, 1.0)
        assert spoken.spoken(wire).rstrip() == "Good day."
        assert plan.utterances == 0


async def test_who_speaks_for_too_long_is_answered() -> None:
    """The longest turn ends like any other."""
    begin()
    script.write([Text("Fine.")])
    async with talking(polite) as wire:
        await wait(wire, 1.0)
        await speak(wire, 1, 2.2)
        await settle()
        assert ("user", "hello there") in await said(wire)


async def test_who_goes_on_after_the_longest_turn_is_heard_again_after_a_pause() -> None:
    """What they said until then is one turn, and it is answered."""
    begin()
    script.write([Text("Fine.")], [Text("Well.")])
    async with talking(polite) as wire:
        await wait(wire, 1.0)
        await speak(wire, 1, 6.0)
        assert plan.utterances == 1
        await silence(wire, 2.0)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [
            ("assistant", "Good day."),
            ("user", "hello there"),
            ("assistant", "Fine."),
            ("user", "and then"),
            ("assistant", "Well."),
        ]


async def test_a_session_that_ends_asks_nobody_whether_they_are_there() -> None:
    """And other sessions go on."""
    begin()
    script.write()
    async with talking(polite) as wire:
        await wait(wire, 1.0)
        wire.connection.disconnected()
        await settle()
        await wait(wire, 10.0)
        started = await wire.host.start({})
        assert wire.host.claim(started.token).closed is False


async def test_words_that_are_merged_are_told_to_plugins_as_well(tmp_path: Path) -> None:
    """A recording has all that was said."""
    begin()
    script.write([WAIT], [Text("Fine.")])
    async with talking(record=tmp_path) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
    lines, samples = recorded_in(tmp_path)
    assert lines == ["hello there", "and then", "Fine."]
    assert {each for each in samples[0::2] if each} == {1, 4}
    assert "".join(chr(each) for each, _ in groupby(each for each in samples[1::2] if each)).strip() == "Fine."


def recorded_in(folder: Path) -> tuple[list[str], array[int]]:
    """The texts of a session's transcript, and its samples, the user's and the bot's in turn."""
    lines = [json.loads(line) for line in next(folder.glob("*.jsonl")).read_text("utf-8").splitlines()]
    with wave.open(str(next(folder.glob("*.wav")))) as recorded:
        assert (recorded.getnchannels(), recorded.getframerate()) == (2, 16_000)
        return texts(lines), array("h", recorded.readframes(recorded.getnframes()))


@bot(services={**SERVICES}, client=CLIENT, public=True)
async def push_to_talk(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Has no VAD."""
    await converse(session, llm=llm, stt=stt, tts=tts)


async def test_without_a_vad_a_turn_is_what_comes_while_the_microphone_is_on() -> None:
    """Push-to-talk: silence within it ends nothing."""
    begin()
    script.write([Text("Fine.")])
    async with talking(push_to_talk) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        await speak(wire, 4, 0.5)
        assert len(script.requests) == 0
        await wait(wire, 1.5)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
