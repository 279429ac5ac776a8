"""A sentence or a sound while functions run."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import Audio, Text, ToolCall
from rtvi_plugins.voice import Filler

from ..fakes.conversation import said, shown, silence, speak, spoken, types, wait, write
from ..fakes.providers import LOOK, RATE, SERVICES, Fakes, samples
from ..fakes.wire import Wire, connected

pytestmark = pytest.mark.anyio

#: The number of the filler's samples. No character has this number.
SOUND = 7


def talker(filler: str | Filler) -> Any:
    """A bot with this filler."""

    @bot(services=SERVICES, config=LOOK, client=["llm:get_context", "tts:interrupt"], public=True)
    async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
        """A bot whose LLM calls a function of the client."""
        await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, filler=filler)

    return talker


CALL, FOUND = [ToolCall("1", "look", {})], [Text("Found it.")]


@asynccontextmanager
async def asked(filler: str | Filler, fakes: Fakes | None = None, *, audio: int | None = RATE) -> AsyncGenerator[Wire]:
    """A session in which the LLM has just called a function."""
    async with connected(talker(filler), fakes or Fakes(CALL, FOUND), audio=audio) as wire:
        await write(wire)
        yield wire


def answer(wire: Wire) -> None:
    """Let the client answer the call."""
    result: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
    wire.send("llm-function-call-result", result)


def heard(wire: Wire) -> list[str]:
    """The words that were heard."""
    return spoken(wire).replace("\0", " ").split()


async def test_the_filler_is_said_while_a_function_runs() -> None:
    """It is said once, and the answer follows. Neither the context nor the LLM has it."""
    fakes = Fakes(CALL, FOUND)
    async with asked("One moment, please.", fakes) as wire:
        await wait(wire, 0.9)
        assert heard(wire) == []
        await wait(wire, 5.0)
        assert heard(wire) == ["One", "moment,", "please."]
        answer(wire)
        await wait(wire, 1.0)
        assert heard(wire)[3:] == ["Found", "it."]
        assert shown(wire) == ["One moment, please.", "Found it."]
        assert await said(wire) == [("user", "go"), ("assistant", None), ("tool", "ok"), ("assistant", "Found it.")]
        assert [each["role"] for each in fakes.requests[1].messages] == ["user", "assistant", "tool"]


async def test_a_fast_function_causes_no_filler() -> None:
    """The time is the one in the `Filler`."""
    async with asked(Filler("One moment, please.", after_seconds=2.0)) as wire:
        await wait(wire, 1.9)
        answer(wire)
        await wait(wire, 2.0)
        assert shown(wire) == ["Found it."]


async def test_a_filler_that_has_begun_is_said_to_its_end() -> None:
    """The answer waits for its end."""
    async with asked("One moment, please.") as wire:
        await wait(wire, 1.2)
        answer(wire)
        await wait(wire, 2.0)
        assert heard(wire) == ["One", "moment,", "please.", "Found", "it."]


async def test_the_time_counts_from_the_end_of_what_was_said_before() -> None:
    """No filler is needed while the bot speaks."""
    before = "Let me look into that for you."
    async with asked("One moment, please.", Fakes([Text(before), *CALL], FOUND)) as wire:
        await wait(wire, len(before) * 0.05 + 0.8)
        assert shown(wire) == [before]
        await wait(wire, 0.5)
        assert shown(wire) == [before, "One moment, please."]
        answer(wire)
        await wait(wire, 2.0)
        assert [text for role, text in await said(wire) if role == "assistant"] == [before, "Found it."]


async def test_a_filler_can_be_interrupted() -> None:
    """Speech interrupts it like all speech of the bot. The user gets an answer."""
    async with asked("One moment, please.", Fakes(CALL, [Text("Yes?")])) as wire:
        await wait(wire, 1.2)
        await speak(wire, 3, 0.5)
        await silence(wire, 2.0)
        assert "please." not in heard(wire)
        assert types(wire).count("bot-interrupted") == 1
        assert (await said(wire))[-1] == ("assistant", "Yes?")
        assert "One moment" not in str(await said(wire))


async def test_a_text_session_shows_no_filler() -> None:
    """A text session has no silence."""
    async with asked("One moment, please.", audio=None) as wire:
        await wait(wire, 3.0)
        answer(wire)
        await wait(wire, 0.1)
        assert shown(wire) == ["Found it."]


async def test_a_function_chooses_the_sentence_each_time() -> None:
    """So the sentence can change each time, or be in the user's language."""
    texts = iter(("First.", "Second."))
    async with asked(Filler(lambda: next(texts)), Fakes(CALL, [ToolCall("2", "look", {})])) as wire:
        await wait(wire, 2.0)
        answer(wire)
        await wait(wire, 2.0)
        assert shown(wire) == ["First.", "Second."]


@pytest.mark.parametrize("broken", [lambda: 1 / 0, lambda: 5])
async def test_a_function_that_fails_says_nothing(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The turn continues."""
    async with asked(Filler(broken)) as wire:
        await wait(wire, 2.0)
        answer(wire)
        await wait(wire, 1.0)
        assert shown(wire) == ["Found it."]
    assert "test_filler.py" in caplog.text


async def test_a_sound_repeats_until_the_function_ends() -> None:
    """Then it stops, and the answer follows."""
    async with asked(Filler(sound=samples(SOUND, 0.25))) as wire:
        await wait(wire, 3.0)
        played = array("h", b"".join(audio.data for _, audio in wire.heard)).count(SOUND) / RATE
        assert 1.8 < played < 2.2
        answer(wire)
        await wait(wire, 1.0)
        samples_heard = array("h", b"".join(audio.data for _, audio in wire.heard))
        assert samples_heard.count(SOUND) / RATE < played + 0.2
        assert set(samples_heard[-len("it. ") * RATE // 20 :]) <= {*map(ord, "it. "), 0}
        assert shown(wire) == ["Found it."]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Filler(), "give a text or a sound, and not both"),
        (lambda: Filler("One moment.", sound=samples(1, 1.0)), "give a text or a sound, and not both"),
        (lambda: Filler(sound=Audio(b"", RATE)), "give an Audio that is not empty"),
        (lambda: Filler(["One moment."]), "give a text, or a function that returns one"),  # type: ignore[arg-type]
        (lambda: Filler("One moment.", after_seconds=-1), "give a finite number of seconds, 0 or more"),
    ],
)
def test_a_mistake_is_reported_where_it_is_written(made: Any, message: str) -> None:
    """It is reported when the filler is made, usually at import."""
    with pytest.raises(AuthorError, match=message):
        made()
