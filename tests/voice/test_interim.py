"""The user's words that a client shows become final or are removed. The final ones are in the context."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse
from rtvi_plugins.kinds import STTPiece, STTRequest, Text, Transcript
from rtvi_plugins.session import Say
from rtvi_plugins.voice import TurnTaking

from ..fakes.conversation import silence, speak, spoken, wait
from ..fakes.providers import Fakes
from ..fakes.wire import Wire, settle

pytestmark = pytest.mark.anyio

#: What the recogniser yields in each attempt, in order: transcripts, a failure, or `HANG`.
Step: TypeAlias = "Transcript | Exception | str"
HANG = "hang"
#: In an answer: wait until the user is silent.
SILENT = "silent"


@bot(services={"llm": "scripted", "stt": "script", "tts": "spell", "vad": "code"}, client=["tts:say"], public=True)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that holds a spoken conversation."""
    taking = TurnTaking(idle_seconds=2.0, idle_text="Hello?")
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=taking, apology="Sorry.")


def talking(*tries: Sequence[Step]) -> AbstractAsyncContextManager[Wire]:
    """A session whose recogniser yields one of these in each attempt, as soon as it is asked."""
    attempts = list(tries)

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        for step in attempts.pop(0) if attempts else ():
            if isinstance(step, Exception):
                raise step
            if step == SILENT:
                async for _ in request.audio:
                    pass
            elif isinstance(step, Transcript):
                yield step
            else:
                await anyio.sleep_forever()
        async for _ in request.audio:
            pass

    return Fakes([Text("Yes.")], stt=transcribe).session(talker)


def interim(text: str) -> Transcript:
    """A transcript that may still change."""
    return Transcript(text, final=False)


def final(text: str) -> Transcript:
    """A final transcript."""
    return Transcript(text, final=True)


def screen(wire: Wire) -> tuple[list[str], str]:
    """What a client shows: the final lines, and the line that may still change."""
    lines, last = list[str](), ""
    for each in wire.data_of("user-transcription"):
        last = "" if each["final"] else each["text"]
        if each["final"] and each["text"]:
            lines.append(each["text"])
    return lines, last


def remembered(wire: Wire) -> str:
    """The user's words in the context."""
    return " ".join(str(each["content"]) for each in wire.connection.session.context.messages if each["role"] == "user")


FAILED = ProviderError("The STT", "unavailable", retryable=False)
PASSING = ProviderError("The STT", "unavailable", retryable=True)


@pytest.mark.parametrize(
    ("tries", "lines"),
    [
        ([[interim("he"), interim("hello"), SILENT]], ["hello"]),
        ([[final("hello"), interim("the"), interim("there"), SILENT]], ["hello", "there"]),
        ([[interim("hello"), SILENT, final("hello there")]], ["hello there"]),
        ([[interim("uh"), SILENT, final("")]], []),
        ([[interim("uh"), interim(" "), SILENT]], []),
        ([[interim("he"), SILENT, FAILED]], []),
        ([[final("hello"), interim("the"), SILENT, FAILED]], ["hello"]),
        ([[interim("he"), PASSING], [SILENT, final("hello")]], ["hello"]),
        ([[interim("he"), PASSING], [SILENT]], []),
        ([[final("hello"), PASSING], [interim("he"), final("hello"), final("there")]], ["hello", "there"]),
        ([[interim("he"), HANG]], []),
    ],
    ids=[
        "no final transcript",
        "no final transcript for the rest",
        "a final transcript",
        "an empty final transcript",
        "an empty interim transcript",
        "a failure in the middle",
        "a failure after a final transcript",
        "a failure that passes",
        "a failure that passes and leaves nothing",
        "a failure after a final transcript that comes again",
        "a recogniser that hangs",
    ],
)
async def test_what_is_shown_ends_as_final_or_is_removed(tries: Sequence[Sequence[Step]], lines: list[str]) -> None:
    """The LLM gets the same words."""
    async with talking(*tries) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 18.0 if HANG in tries[0] else 2.0)
        assert screen(wire) == (lines, "")
        assert remembered(wire) == " ".join(lines)


@pytest.mark.parametrize("how", ["close", "client"])
async def test_what_is_shown_when_the_session_ends_stays_and_is_remembered(how: str) -> None:
    """There is no time left to recognise them."""
    async with talking([final("hello"), interim("the")]) as wire:
        await speak(wire, 1, 0.5)
        assert screen(wire) == (["hello"], "the")
        if how == "close":
            wire.connection.close()
            await settle()
            assert screen(wire) == (["hello", "the"], "")
        else:
            wire.connection.disconnected()
        assert remembered(wire) == "hello the"


async def test_what_is_shown_when_the_goodbye_has_been_heard_stays_and_is_remembered() -> None:
    """The user spoke during the goodbye."""
    async with talking([interim("wait a")]) as wire:
        wire.connection.session.submit(Say("Goodbye."))
        await settle()
        wire.connection.close()
        await speak(wire, 1, 1.0)
        assert wire.connection.closed
        assert screen(wire) == (["wait a"], "")
        assert remembered(wire) == "wait a"


async def test_an_interruption_by_text_leaves_what_is_being_said_to_its_recogniser() -> None:
    """The interim transcript is shown until then, and becomes final."""
    async with talking([interim("he"), SILENT]) as wire:
        await speak(wire, 1, 0.4)
        wire.send("send-text", {"content": "typed", "options": {}})
        await speak(wire, 1, 0.2)
        await silence(wire, 2.0)
        assert screen(wire) == (["he"], "")
        assert remembered(wire) == "typed he"


transcripts = st.builds(Transcript, st.sampled_from(["", "a", "b c", "d"]), st.booleans())
tries = st.lists(st.lists(transcripts | st.sampled_from([SILENT, FAILED, PASSING]), max_size=5), max_size=3)


@pytest.mark.slow
@given(tries=tries)
def test_whatever_a_recogniser_gives_the_screen_and_the_context_agree(tries: list[list[Step]]) -> None:
    """In every order of transcripts and failures, no line is left that may still change."""

    async def run() -> None:
        async with talking(*tries) as wire:
            await speak(wire, 1, 0.3)
            await silence(wire, 1.5)
            lines, last = screen(wire)
            assert last == ""
            heard, words = remembered(wire).split(), " ".join(lines).split()
            assert heard == words[len(words) - len(heard) :]  # those before are of an attempt that failed

    anyio.run(run)


# ---- a user who says nothing -----------------------------------------------------------------------------------------


async def test_a_noise_does_not_have_the_user_asked_twice() -> None:
    """The user is asked once, until they have said something."""
    async with talking([SILENT], [SILENT]) as wire:
        await silence(wire, 3.0)
        assert spoken(wire).count("Hello?") == 1
        await speak(wire, 1, 0.3)
        await silence(wire, 4.0)
        assert spoken(wire).count("Hello?") == 1


async def test_noises_without_end_do_not_put_the_question_off() -> None:
    """The question comes after twice the time at the latest."""
    async with talking(*[[SILENT]] * 10) as wire:
        for _ in range(5):
            await speak(wire, 1, 0.3)
            await silence(wire, 1.2)
        assert spoken(wire).count("Hello?") == 1


async def test_the_user_is_asked_again_after_they_have_said_something() -> None:
    """Their words start the time again."""
    async with talking([SILENT, final("yes")]) as wire:
        await silence(wire, 3.0)
        await speak(wire, 1, 0.3)
        await silence(wire, 1.5)
        await wait(wire, 3.0)
        assert spoken(wire).count("Hello?") == 2
