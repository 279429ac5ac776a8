"""The spoken turn loop among providers that hang, fail and lie, and users who cough, hurry and change their minds."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse
from rtvi_plugins.kinds import (
    Audio,
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
    Word,
)
from rtvi_plugins.voice import TurnTaking, UserTurn

from ..fakes import awkward, scripted, spoken
from ..fakes.awkward import NOISE, acts, begin, recognise, spell
from ..fakes.scripted import LOOK, WAIT, script
from ..fakes.spoken import RATE, samples, silence, speak, texts, wait
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

APOLOGY = "I am sorry, something went wrong. Please try again."
FORTY = "Now this is a sentence of forty letters."
CLIENT = "llm:get_context llm:run tts:say tts:interrupt llm.provider tts.provider llm.run_on_config".split()


@bot(
    services={"llm": ["scripted", "awkward"], "stt": "awkward", "tts": ["awkward", "words"], "vad": "awkward"},
    config=LOOK,
    client=CLIENT,
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation, with the manners that the test gives it."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=acts.taking, greeting=acts.greeting)


def talking(llm: str = "scripted", config: Any = (), **how: Any) -> Any:
    """A session with audio, its client ready unless told otherwise."""
    return connected(
        talker, scripted, awkward, spoken, audio=RATE, body={"services": {"llm": llm}, "config": config}, **how
    )


async def later(wire: Wire, seconds: float) -> None:
    """Let time pass in steps of a quarter of a second, where nothing needs to be told apart that is closer."""
    for _ in range(round(seconds * 4)):
        wire.clock.advance(0.25)
        await settle()


async def write(wire: Wire, text: str = "go") -> None:
    """The user types something to be answered."""
    wire.send("send-text", {"content": text, "options": {}})
    await settle()


def types(wire: Wire) -> list[str]:
    """What the client was told, in order."""
    return [each["type"] for each in wire.received]


def failures(wire: Wire) -> list[str]:
    """What the client was told of failures; none of them may be the end of the session."""
    assert [each for each in wire.told("error") if each["fatal"]] == []
    return [each["message"] for each in wire.told("error")]


def shown(wire: Wire) -> list[str]:
    """The sentences that the client was shown, each once."""
    return texts([each for each in wire.told("bot-output") if each["spoken_status"] == "new"])


async def context(wire: Wire) -> list[dict[str, Any]]:
    """The conversation as the client reads it."""
    messages: list[dict[str, Any]] = (await wire.result(wire.call("llm:get_context")))["messages"]
    return messages


async def said(wire: Wire) -> list[tuple[str, Any]]:
    """The conversation as pairs of role and content."""
    return [(each["role"], each["content"]) for each in await context(wire)]


# ---- what was heard --------------------------------------------------------------------------------------------------


async def speak_after_the_gate(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    """Make nothing until the test opens the gate."""
    async for text in request.text:
        await acts.gate.wait()
        yield spell(text)


async def speak_one_sentence(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    """Make the first sentence, and then nothing more."""
    async for text in request.text:
        for each in text:
            yield samples(ord(each), 0.06)
        await anyio.sleep_forever()


async def test_an_answer_that_is_interrupted_before_its_speech_was_made_was_not_said() -> None:
    """However complete its text was, nobody has heard a sound of it."""
    begin(tts=speak_after_the_gate)
    script.write([Text("The password is swordfish. The flight is booked.")], [Text("Yes?")])
    async with talking() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        assert shown(wire) == ["The password is swordfish.", "The flight is booked."]
        wire.call("tts:interrupt")
        await settle()
        assert wire.heard == []
        assert await said(wire) == [("user", "what time is it")]


async def test_speech_that_stalls_is_remembered_as_far_as_it_was_made() -> None:
    """The rest was never made, though all that was made was heard to its end."""
    begin(tts=speak_one_sentence)
    script.write([Text("One sentence. Two sentences. Three.")])
    async with talking() as wire:
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
    """Of a turn that asked the LLM twice, what was heard of the first answer is all that was said."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            if text.startswith("Found"):
                await anyio.sleep_forever()
            yield spell(text)

    begin(tts=speak)
    script.write([Text("Let me look."), ToolCall("1", "look", {})], [Text("Found ten of them.")])
    async with talking() as wire:
        await write(wire)
        wire.send(
            "llm-function-call-result", {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        )
        await wait(wire, 2.0)
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "Let me look."), ("tool", "ok")]


async def test_languages_without_spaces_are_heard_by_characters() -> None:
    """There is no word to cut at, and what was heard is more than nothing."""
    begin()
    text = "これは日本語のとても長い文章で、途中で止められます。"
    script.write([Text(text)], [Text("はい。")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 0.7)
        wire.call("tts:interrupt")
        await settle()
        answer = (await context(wire))[1]
        assert text.startswith(answer["content"])
        assert 8 <= len(answer["content"]) <= 14
        assert answer["interrupted"] is True
        assert [each["spoken_status"] for each in wire.told("bot-output")] == ["new", "in-progress"]


async def test_a_word_is_found_near_its_place_and_whole() -> None:
    """One that the TTS read out otherwise than it is written is not taken for the same word at the end."""
    text = "I have 1 cat at home, and about its ways I could tell you very much more, then another one."

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for piece in request.text:
            for index, word in enumerate(["I", "have", "one", "cat", "at"]):
                yield Word(word, index * 0.2)
            yield spell(piece)

    begin(tts=speak)
    script.write([Text(text)])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 0.7)
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "I have 1 cat")]


async def test_an_answer_of_nothing_but_space_is_not_remembered() -> None:
    """A vendor would refuse the conversation that holds it."""
    begin()
    script.write([Text("  "), Text("\n")], [Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]


async def test_an_llm_that_answers_nothing_is_apologised_for() -> None:
    """In a spoken conversation, silence is no answer."""
    begin()
    script.write([Text(" ")], [], [Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert len(script.requests) == 2
        assert len(failures(wire)) == 1
        assert await said(wire) == [("user", "go"), ("assistant", APOLOGY)]


# ---- noises ----------------------------------------------------------------------------------------------------------


async def test_a_noise_between_question_and_answer_does_not_take_the_answer_away() -> None:
    """Nothing was understood, so what it silenced is answered again, once."""
    begin()
    script.write([WAIT], [Text("Noon.")])
    async with talking() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        assert len(script.requests) == 1
        await speak(wire, NOISE, 0.3)
        await silence(wire, 2.0)
        assert types(wire).count("user-started-speaking") == 2
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]
        assert len(script.requests) == 2


async def test_a_noise_before_the_greeting_does_not_take_it_away() -> None:
    """It is said once the noise turned out to be nothing."""
    begin(tts=speak_after_the_gate, greeting="Good day.")
    script.write()
    async with talking() as wire:
        await speak(wire, NOISE, 0.3)
        acts.gate.set()
        await silence(wire, 2.0)
        assert "bot-interrupted" in types(wire)
        assert spoken.spoken(wire).rstrip() == "Good day."
        assert await said(wire) == [("assistant", "Good day.")]


async def test_what_a_noise_silenced_after_it_was_heard_in_part_is_not_said_again() -> None:
    """The user has heard its beginning, and may ask."""
    begin()
    script.write([Text(FORTY)], [Text("Again.")])
    async with talking() as wire:
        await write(wire)
        await silence(wire, 1.0)
        await speak(wire, NOISE, 0.4)
        await silence(wire, 2.0)
        assert len(script.requests) == 1
        assert (await context(wire))[1]["interrupted"] is True


# ---- recognisers -----------------------------------------------------------------------------------------------------


async def test_an_stt_that_ends_before_the_audio_does_is_answered() -> None:
    """It may have its own idea of where a sentence ends."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        frames = 0
        async for _ in request.audio:
            frames += 1
            if frames == 15:
                yield Transcript("what time is it", final=True)
                return

    begin(stt=transcribe)
    script.write([Text("Noon.")])
    async with talking() as wire:
        await speak(wire, 1, 1.0)
        assert script.requests == []
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


async def test_transcripts_are_joined_in_the_order_of_speech() -> None:
    """An utterance that takes long to be recognised is waited for, and comes first."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for piece in recognise(request):
            if isinstance(piece, Transcript) and piece.text == "hello there":
                await acts.gate.wait()
            yield piece

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.7)
        await speak(wire, 4, 0.5)
        await silence(wire, 0.7)
        assert script.requests == []
        acts.gate.set()
        await silence(wire, 1.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]


async def test_an_stt_that_hangs_is_given_up_and_the_next_utterance_is_heard() -> None:
    """The user is told, aloud and with the category timeout."""
    utterances = 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal utterances
        utterances += 1
        if utterances == 1:
            await anyio.sleep_forever()
        async for piece in recognise(request):
            yield piece

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await later(wire, 14.0)
        assert failures(wire) == []
        await later(wire, 5.0)
        assert failures(wire) == [str(ProviderError("The STT", "timeout"))]
        assert spoken.spoken(wire).rstrip() == APOLOGY
        await speak(wire, 4, 0.5)
        await silence(wire, 1.5)
        assert await said(wire) == [("assistant", APOLOGY), ("user", "and then"), ("assistant", "Fine.")]


async def test_a_vad_that_fails_is_told_once() -> None:
    """Even when a single piece of audio holds ninety frames."""

    def hear(frame: Audio) -> float:
        raise ProviderError("awkward", "unavailable")

    begin(vad=hear)
    script.write()
    async with talking() as wire:
        wire.connection.receive_audio(samples(1, 2.9))
        await speak(wire, 1, 0.5)
        assert [each for each in failures(wire) if "faster than real time" not in each] == ["awkward is not available."]


# ---- providers that hang or stumble ----------------------------------------------------------------------------------


async def test_an_llm_that_hangs_is_given_up_and_the_bot_goes_on() -> None:
    """After half a minute, with an error of the category timeout and an apology."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        if request.messages[-1]["content"] == "go":
            await anyio.sleep_forever()
        yield Text("Fine.")

    begin(llm=respond)
    async with talking("awkward") as wire:
        await write(wire)
        await later(wire, 29.0)
        assert failures(wire) == []
        await later(wire, 40.0)
        assert failures(wire) == [str(ProviderError("The LLM", "timeout"))]
        assert spoken.spoken(wire).rstrip() == APOLOGY
        await write(wire, "again")
        await later(wire, 2.0)
        assert (await said(wire))[-2:] == [("user", "again"), ("assistant", "Fine.")]


@pytest.mark.parametrize("beginning", ["", "One "])
async def test_a_tts_that_hangs_is_given_up_and_the_bot_goes_on(beginning: str) -> None:
    """Its text was shown, so it counts as said; what comes next is spoken."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            if not text.startswith("Hello"):
                if beginning:
                    yield spell(beginning)
                await anyio.sleep_forever()
            yield spell(text)

    begin(tts=speak)
    script.write([Text("One thing.")])
    async with talking() as wire:
        await write(wire)
        await later(wire, 40.0)
        assert failures(wire) == []
        await later(wire, 60.0)
        assert failures(wire) == [str(ProviderError("The TTS", "timeout"))]
        wire.call("tts:say", text="Hello?")
        await later(wire, 2.0)
        assert spoken.spoken(wire).endswith("Hello?")
        assert await said(wire) == [("user", "go"), ("assistant", "One thing."), ("assistant", "Hello?")]


async def stumbling_llm(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
    """Fail while being closed."""
    try:
        yield Text(f"{FORTY} ")
        await anyio.sleep_forever()
    finally:
        raise RuntimeError("the vendor's stream cannot be closed")


async def stumbling_tts(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    """Fail while being closed."""
    try:
        async for text in request.text:
            yield spell(text)
        await anyio.sleep_forever()
    finally:
        raise RuntimeError("the vendor's stream cannot be closed")


@pytest.mark.parametrize("stumbles", [{"llm": stumbling_llm}, {"tts": stumbling_tts}], ids=["llm", "tts"])
async def test_a_provider_that_stumbles_over_an_interruption_has_not_failed(stumbles: dict[str, Any]) -> None:
    """There is no error and no apology, and what was heard is remembered as interrupted."""
    begin(**stumbles)
    script.write([Text(f"{FORTY} ")])
    async with talking("awkward" if "llm" in stumbles else "scripted") as wire:
        await write(wire)
        await wait(wire, 1.0)
        wire.call("tts:interrupt")
        await wait(wire, 3.0)
        assert failures(wire) == []
        assert len(wire.heard) <= 55
        _, answer = await context(wire)
        assert answer["interrupted"] is True
        assert FORTY.startswith(answer["content"])
        assert 10 <= len(answer["content"]) <= 24


async def test_an_llm_that_fails_in_the_middle_is_heard_as_far_as_it_came() -> None:
    """And then the apology, as in a conversation among people."""
    begin()
    script.write([Text("It is noon. Sleep well. And "), ProviderError("scripted", "unavailable")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert spoken.spoken(wire).split() == f"It is noon. Sleep well. {APOLOGY}".split()
        assert len(failures(wire)) == 1
        (_, answer, apology) = await context(wire)
        assert answer["content"].startswith("It is noon. Sleep well.")
        assert answer["interrupted"] is True
        assert apology["content"] == APOLOGY


@pytest.mark.parametrize("arguments", [{"x": {1, 2}}, None, ["x"]], ids=str)
async def test_a_call_with_arguments_that_are_no_json_object_is_a_failure_of_the_provider(arguments: Any) -> None:
    """The session goes on."""
    begin()
    script.write([Text("Let me look. "), ToolCall("1", "look", arguments)], [Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert len(failures(wire)) == 1
        assert wire.told("llm-function-call-in-progress") == []
        await write(wire, "again")
        await wait(wire, 1.0)
        assert (await said(wire))[-1] == ("assistant", "Fine.")


async def test_an_answer_in_thousands_of_pieces_does_not_end_the_session() -> None:
    """They are sent as they are taken, before they are too many to wait."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        for _ in range(12_000):
            yield Text("a ")

    begin(llm=respond)
    async with talking("awkward") as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        for _ in range(30):
            await settle()
        assert wire.connection.closed is False
        assert failures(wire) == []
        assert len(wire.told("bot-llm-text")) == 12_000


async def test_thousands_of_dots_are_an_answer_like_any_other() -> None:
    """Whoever asks for them, the other sessions go on."""
    begin()
    script.write([Text("." * 400_000), Text(" Fine.")])
    async with talking() as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        text = "".join(shown(wire))
        assert (text.count("."), text[-5:]) == (400_001, "Fine.")


# ---- turn-taking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["say", "run"])
async def test_what_others_want_said_waits_for_the_user_to_finish(action: str) -> None:
    """Nobody is talked over by an announcement."""
    begin()
    script.write([Text("Fine.")], [Text("Too much.")])
    async with talking() as wire:
        await speak(wire, 1, 0.4)
        wire.call("llm:run") if action == "run" else wire.call("tts:say", text="News.")
        await speak(wire, 1, 1.0)
        assert wire.heard == []
        assert script.requests == []
        await silence(wire, 3.0)
        assert ("user", "hello there") in await said(wire)
        assert ("assistant", "Fine.") in await said(wire)
        if action == "say":
            assert spoken.spoken(wire).replace("\0", "").split() in (["News.", "Fine."], ["Fine.", "News."])
        else:  # the answer to what they said is the one that was asked for
            assert len(script.requests) == 1


async def test_an_interruption_forgets_what_was_still_to_be_said() -> None:
    """Who says "stop" does not mean the first announcement alone."""
    begin()
    script.write([Text("Fine.")])
    async with talking() as wire:
        for text in ("The first announcement.", "The second announcement.", "The third announcement."):
            wire.call("tts:say", text=text)
        await silence(wire, 0.5)
        await speak(wire, 3, 1.0)
        await silence(wire, 3.0)
        first, *rest = await said(wire)
        assert first[1] != ""
        assert "The first announcement.".startswith(first[1])
        assert rest == [("user", "stop"), ("assistant", "Fine.")]


async def test_nobody_is_asked_whether_they_are_there_while_they_speak() -> None:
    """However long they do."""
    begin(taking=TurnTaking(idle_seconds=2.0, idle_text="Hello?"))
    script.write([Text(FORTY)], [Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await silence(wire, 0.5)
        await speak(wire, 3, 4.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert "Hello?" in shown(wire)


async def test_after_a_noise_the_user_is_asked_later() -> None:
    """It does not count as an answer, nor does it stop the question for ever."""
    begin(taking=TurnTaking(idle_seconds=2.0, idle_text="Hello?"), greeting="Good day.")
    script.write()
    async with talking() as wire:
        await silence(wire, 1.5)
        await speak(wire, NOISE, 0.4)
        await silence(wire, 2.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert shown(wire).count("Hello?") == 1


async def test_three_texts_typed_at_once_get_one_answer() -> None:
    """It is asked for with all three of them."""
    begin()
    script.write([Text("Fine.")], [Text("Too much.")], [Text("Far too much.")])
    async with talking() as wire:
        for text in ("one", "two", "three"):
            wire.send("send-text", {"content": text, "options": {}})
        await wait(wire, 2.0)
        assert [[each["content"] for each in request.messages] for request in script.requests] == [
            ["one", "two", "three"]
        ]
        assert (await said(wire))[-1] == ("assistant", "Fine.")
        assert "bot-interrupted" not in types(wire)


async def test_speech_after_an_action_interrupted_is_a_turn_of_its_own() -> None:
    """The question before it was dropped by whoever pressed the button."""
    begin()
    script.write([WAIT], [Text("Booked.")])
    async with talking() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        wire.call("tts:interrupt")
        await silence(wire, 2.0)
        await speak(wire, 5, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("user", "book a room"), ("assistant", "Booked.")]


@pytest.mark.parametrize("seconds", [None, math.nan, math.inf, "soon"])
async def test_a_policy_that_tells_no_time_is_reported_and_the_user_answered(
    seconds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its author finds the mistake in the log, the user an answer."""

    async def end_of_turn(turn: UserTurn) -> float:
        return seconds  # type: ignore[no-any-return]

    begin(taking=TurnTaking(end_of_turn=end_of_turn))
    script.write([Text("Fine.")])
    async with talking() as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await speak(wire, 1, 0.5)
            await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        assert failures(wire) == []
        assert any("end_of_turn" in each for each in caplog.messages)


async def test_a_microphone_that_is_off_is_not_heard_until_it_is_on() -> None:
    """WebRTC goes on sending frames while a track is disabled, and some are late."""
    begin()
    script.write([Text("Fine.")], [Text("Well.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        wire.connection.microphone(False)
        await speak(wire, 3, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        wire.connection.microphone(True)
        await speak(wire, 4, 0.5)
        await silence(wire, 1.5)
        assert (await said(wire))[2:] == [("user", "and then"), ("assistant", "Well.")]


# ---- the beginning ---------------------------------------------------------------------------------------------------


async def test_the_greeting_comes_before_an_answer_that_the_config_asks_for() -> None:
    """Which is then an answer to a conversation that holds the greeting."""
    begin(greeting="Good day.")
    script.write([Text("Fine.")])
    config = [{"service": "llm", "options": [{"name": "run_on_config", "value": True}]}]
    async with talking(config=config) as wire:
        await wait(wire, 2.0)
        assert await said(wire) == [("assistant", "Good day."), ("assistant", "Fine.")]
        assert [len(each.messages) for each in script.requests] == [1]


async def test_a_client_that_writes_too_much_before_it_is_ready_is_greeted_all_the_same() -> None:
    """What it sent beyond the limits is refused; the bot has not failed."""
    begin(greeting="Good day.")
    script.write()
    async with talking(ready=False) as wire:
        for index in range(130):
            wire.send("send-text", {"content": f"{index}", "options": {"run_immediately": False}})
        wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await wait(wire, 1.0)
        assert spoken.spoken(wire).rstrip() == "Good day."
        assert failures(wire) == []
        assert (await said(wire))[0] == ("assistant", "Good day.")


# ---- audio as vendors make it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [22_050, 48_000])
async def test_speech_that_is_cut_at_odd_bytes_is_heard_undistorted(rate: int) -> None:
    """As HTTP cuts it."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        data = samples(1_000, 1.0, rate).data
        async for _ in request.text:
            for start in range(0, len(data), 1_001):
                yield Audio(data[start : start + 1_001], rate)

    begin(tts=speak)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 1.5)
        heard = samples_of(wire)
        assert len(heard) == pytest.approx(RATE, abs=RATE * 0.03)
        assert sum(1 for each in heard if each and abs(each - 1_000) > 500) == 0
        assert failures(wire) == []


async def test_speech_whose_rate_changes_is_heard_whole() -> None:
    """Nothing is lost where one rate follows the other."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            for index in range(20):
                yield samples(1_000, 0.1, 24_000 if index % 2 else 22_050)

    begin(tts=speak)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 2.5)
        assert len(samples_of(wire)) == pytest.approx(2 * RATE, abs=RATE * 0.03)


def samples_of(wire: Wire) -> memoryview[int]:
    """All that the client was sent of the bot's speech."""
    return memoryview(b"".join(audio.data for _, audio in wire.heard)).cast("h")
