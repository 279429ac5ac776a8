"""What a spoken session outlives: services that die, mistakes of providers, and users who talk, cough and hold on."""

from __future__ import annotations

import math
import shutil
import sys
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse, service
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import (
    Audio,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
    Usage,
)
from rtvi_plugins.runtime.playback import LivePlayback
from rtvi_plugins.voice import TurnTaking, UserTurn

from ..fakes import awkward, scripted, spoken
from ..fakes.awkward import NOISE, AwkwardSTT, acts, begin, spell
from ..fakes.scripted import LOOK, script
from ..fakes.spoken import RATE, samples, silence, speak, wait
from ..fakes.wire import Wire, connected, settle
from ..runtime.test_audio import Transport
from .test_voice_faults import APOLOGY, CLIENT, failures, later, said, types, write

TEXTS = {"bot-llm-text", "bot-tts-text", "bot-output", "bot-transcription"}


@service("stt", "mortal")
@asynccontextmanager
async def mortal_stt() -> AsyncGenerator[AwkwardSTT]:
    """Dies when the gate is opened, as a vendor's connection may at any time."""

    async def die() -> None:
        await acts.gate.wait()
        raise EOFError("the connection is lost")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(die)
        yield AwkwardSTT()
        tasks.cancel_scope.cancel()


@bot(
    services={
        "llm": ["scripted", "awkward"],
        "stt": ["awkward", "mortal"],
        "tts": ["awkward", "words"],
        "vad": "awkward",
    },
    config=LOOK,
    client=CLIENT,
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Hears the user at any time."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=acts.taking)


@bot(services={"llm": "scripted", "stt": "awkward", "tts": "awkward"}, client=CLIENT, public=True)
async def push_to_talk(session: Session, /, llm: LLM, stt: STT, tts: TTS) -> None:
    """Hears the user while a button is held."""
    await converse(session, llm=llm, stt=stt, tts=tts, taking=acts.taking)


def talking(which: Any = talker, *, services: dict[str, str] | None = None, **how: Any) -> Any:
    """A session with audio, its client ready unless told otherwise."""
    body = {"services": {"llm": "scripted", **(services or {})}}
    return connected(which, scripted, awkward, spoken, sys.modules[__name__], audio=RATE, body=body, **how)


def heard(wire: Wire) -> set[int]:
    """The samples that the client was sent, each once."""
    return set(array("h", b"".join(audio.data for _, audio in wire.heard)))


# ---- services that fail ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("while_speaking", [False, True])
async def test_an_stt_that_dies_leaves_the_session_to_be_written_to(while_speaking: bool) -> None:
    """It is told once, with an apology."""
    begin()
    script.write([Text("Fine.")])
    async with talking(services={"stt": "mortal"}) as wire:
        if while_speaking:
            await speak(wire, 1, 0.3)
        acts.gate.set()
        await settle()
        await speak(wire, 1, 0.5)
        await silence(wire, 5.0)
        assert len(failures(wire)) == 1
        await write(wire)
        await silence(wire, 2.0)
        assert await said(wire) == [("assistant", APOLOGY), ("user", "go"), ("assistant", "Fine.")]


@pytest.mark.anyio
async def test_a_vad_that_gives_no_number_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """To the client, and in the log."""

    def hear(frame: Audio) -> Any:
        return None

    begin(vad=hear)
    async with talking() as wire:
        await speak(wire, 1, 2.0)
        assert len(failures(wire)) == 1
        assert len(caplog.records) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "call",
    [
        ToolCall("1", "look", {"for": "\ud800"}),
        ToolCall("1", "look", {"for": math.nan}),
        ToolCall("1", "look\ud800", {}),
        ToolCall("1", "look", {}, "half a character: \ud800"),
    ],
    ids=["arguments", "number", "name", "problem"],
)
async def test_a_function_call_that_json_cannot_carry_is_answered_with_an_error(call: ToolCall) -> None:
    """The LLM reads why, and can call again; neither the session nor the provider has failed."""
    begin()
    script.write([call], [Text("Fine.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert failures(wire) == []
        assert wire.told("llm-function-call-started") == []
        assert '"error"' in str(script.requests[1].messages[-1]["content"])


def test_usage_and_calls_of_other_types_are_refused_where_they_are_made() -> None:
    """In the provider, whose mistake it is."""
    for wrong in (
        lambda: Usage(prompt_tokens="3"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: Usage(model=object()),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: ToolCall("1", None, {}),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.anyio
async def test_a_session_that_cannot_be_recorded_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a line in the log."""
    begin()
    script.write([Text("Fine.")])
    folder = tmp_path / "recordings"
    async with talking(record=folder, ready=False) as wire:
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")
        wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await write(wire)
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
    assert any("is not recorded" in each for each in caplog.messages)


# ---- users -----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_button_that_was_held_for_too_long_can_be_pressed_again() -> None:
    """Nothing comes while it is up: that is how a release shows."""
    begin(taking=TurnTaking(longest_turn_seconds=1.0))
    script.write([Text("Fine.")], [Text("Noon.")])
    async with talking(push_to_talk) as wire:
        await speak(wire, 1, 1.5)
        await wait(wire, 3.0)
        await speak(wire, 2, 0.5)
        await wait(wire, 3.0)
        assert [content for role, content in await said(wire) if role == "user"] == ["hello there", "what time is it"]


@pytest.mark.anyio
async def test_who_goes_on_for_too_long_keeps_nobody_waiting() -> None:
    """A television in the room: what was to be said is said, and what is typed is answered."""
    begin(taking=TurnTaking(longest_turn_seconds=2.0))
    script.write(*[[Text("Fine.")]] * 5)
    async with talking() as wire:
        await speak(wire, 1, 1.0)
        wire.call("tts:say", text="Hello.")
        await write(wire, "typed")
        await speak(wire, 1, 10.0)
        told = await said(wire)
        assert {("assistant", "Hello."), ("user", "typed"), ("assistant", "Fine.")} <= set(told)


@pytest.mark.anyio
async def test_a_question_is_answered_although_a_noise_went_on_when_it_was_taken() -> None:
    """Who goes on has not finished, but a noise is nobody who goes on."""
    begin()
    script.write([Text("Noon.")])
    async with talking() as wire:
        await speak(wire, 2, 0.4)
        wire.call("tts:say", text="Just a moment please, this is long.")
        await silence(wire, 1.5)
        await speak(wire, NOISE, 0.5)
        await silence(wire, 5.0)
        assert (await said(wire))[-1] == ("assistant", "Noon.")


@pytest.mark.anyio
async def test_what_was_heard_before_the_microphone_was_off_is_no_beginning() -> None:
    """Of an utterance a minute later."""
    given: list[int] = []

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for audio in request.audio:
            given.extend(array("h", audio.data))
        yield Transcript("hello", final=True)

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 7, 0.08)
        await wait(wire, 60.0)
        await speak(wire, 2, 0.5)
        await silence(wire, 1.0)
    assert 2 in given
    assert 7 not in given


@pytest.mark.anyio
async def test_sounds_that_are_far_apart_do_not_add_up_to_speech() -> None:
    """Also where a client sends nothing while its microphone is off."""
    begin()
    async with talking() as wire:
        for _ in range(5):
            await speak(wire, 1, 0.08)
            await wait(wire, 10.0)
        assert wire.told("user-started-speaking") == []


@pytest.mark.anyio
async def test_what_a_noise_cut_off_is_not_said_after_the_user_has_spoken() -> None:
    """Though the vendor's stream took so long to close that both were over before it."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        if len(asked) > 0:
            async for text in request.text:
                yield spell(text)
            return
        asked.append("first")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await acts.gate.wait()

    asked: list[str] = []
    begin(tts=synthesize)
    script.write([Text("Noon.")])
    async with talking() as wire:
        wire.call("tts:say", text="An announcement.")
        await settle()
        await speak(wire, NOISE, 0.3)
        await silence(wire, 1.0)
        await speak(wire, 2, 0.3)
        acts.gate.set()
        await speak(wire, 2, 0.2)
        await silence(wire, 4.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


@pytest.mark.anyio
async def test_a_policy_that_decides_about_less_than_was_said_decides_nothing() -> None:
    """The user has gone on while it thought."""

    async def end_of_turn(turn: UserTurn) -> float:
        if turn.text == "hello there":
            await acts.gate.wait()
            return 0.0
        return 2.0

    begin(taking=TurnTaking(end_of_turn=end_of_turn))
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.0)
        await speak(wire, 2, 0.5)
        await silence(wire, 0.7)
        acts.gate.set()
        await silence(wire, 1.0)
        assert await said(wire) == []
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there what time is it")


# ---- the bot's speech ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_no_text_of_a_turn_follows_its_interruption() -> None:
    """Wherever in a word it comes."""
    for step in range(12):
        begin()
        script.write([Text("One two six ten. A b c d e f g h.")])
        async with talking(services={"tts": "words"}) as wire:
            await write(wire)
            await wait(wire, 0.3 + step * 0.05)
            wire.call("tts:interrupt")
            await wait(wire, 0.2)
            told = types(wire)
            assert TEXTS & set(told[: told.index("bot-interrupted")])
            assert not TEXTS & set(told[told.index("bot-interrupted") :])


@pytest.mark.anyio
async def test_half_a_sample_at_the_end_of_speech_is_not_the_beginning_of_the_next() -> None:
    """All samples would be noise from there on."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            yield Audio(samples(100, 0.2).data + b"\1", RATE)

    begin(tts=synthesize)
    script.write([Text("One."), ToolCall("1", "look", {})], [Text("Two.")])
    async with talking() as wire:
        await write(wire)
        result: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        wire.send("llm-function-call-result", result)
        await wait(wire, 1.0)
        assert (await said(wire))[-1] == ("assistant", "Two.")
        assert heard(wire) == {100}


@pytest.mark.anyio
async def test_half_a_sample_of_a_failed_attempt_is_not_the_beginning_of_the_next() -> None:
    """A TTS is asked twice."""
    attempts = 0

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            yield Audio(b"\1", RATE)
            raise ProviderError("awkward", "unavailable")
        async for _ in request.text:
            yield samples(100, 0.2)

    begin(tts=synthesize)
    script.write([Text("One.")])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert heard(wire) == {100}


@pytest.mark.anyio
async def test_a_tts_that_makes_all_at_once_is_not_blamed_for_our_waiting() -> None:
    """Eighty seconds in one piece take longer to be heard than a TTS may be silent."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            yield samples(100, 80.0)

    begin(tts=synthesize)
    script.write([Text("One long thing. Two.")])
    async with talking() as wire:
        await write(wire)
        await later(wire, 80.0)
        assert failures(wire) == []


def test_the_silence_that_fills_a_frame_is_not_taken_for_the_next_speech() -> None:
    """What is heard of an utterance is counted from its first sample."""
    transport = Transport(RATE)
    playback = LivePlayback(transport.output())
    for _ in range(7):
        playback.play(samples(1, 0.021))  # a frame, and 1 ms of the next
        playback.flush()
    begins = playback.given
    playback.play(samples(1, 1.0))
    transport.clock.advance(7 * 0.040)
    assert playback.heard - begins == pytest.approx(0.0, abs=1e-6)
    transport.clock.advance(0.1)
    assert playback.heard - begins == pytest.approx(0.1, abs=1e-6)


# ---- manners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "instead"),
    [
        ({"idle_seconds": -1}, "a finite number of seconds, more than 0"),
        ({"idle_seconds": 0}, "a finite number of seconds, more than 0"),
        ({"interrupt_seconds": "x"}, "a finite number of seconds, 0 or more"),
        ({"longest_turn_seconds": float("nan")}, "a finite number of seconds, more than 0"),
        ({"longest_turn_seconds": True}, "a finite number of seconds, more than 0"),
        ({"end_of_turn": 3}, "a coroutine function that takes a UserTurn and returns seconds"),
        ({"interruptible": "no"}, "True or False"),
        ({"idle_text": None}, "a text"),
    ],
)
def test_manners_that_cannot_be_are_refused_where_they_are_written(how: dict[str, Any], instead: str) -> None:
    """With what to write instead."""
    [(name, value)] = how.items()
    with pytest.raises(AuthorError) as raised:
        TurnTaking(**how)
    assert str(raised.value) == f"TurnTaking({name}={value!r}): give {instead}."


@pytest.mark.anyio
async def test_a_policy_without_async_is_told_to_its_author(caplog: pytest.LogCaptureFixture) -> None:
    """And the user is answered."""

    def end_of_turn(turn: UserTurn) -> float:
        return 0.3

    begin(taking=TurnTaking(end_of_turn=end_of_turn))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
    assert [each for each in caplog.messages if "end_of_turn gave float at once. Write async def." in each]
