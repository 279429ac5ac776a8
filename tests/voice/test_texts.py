"""Fixed texts of a bot that a function chooses each time."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import Text
from rtvi_plugins.voice import TurnTaking

from ..fakes import scripted, spoken
from ..fakes.conversation import shown, write
from ..fakes.scripted import script
from ..fakes.spoken import RATE, SERVICES, begin, silence, wait
from ..fakes.wire import connected

pytestmark = pytest.mark.anyio

LANGUAGE = ["en"]
SORRY = {"en": "Sorry.", "de": "Leider nein."}
THERE = {"en": "Hello?", "de": "Hallo?"}
TAKING = TurnTaking(idle_seconds=2.0, idle_text=lambda: THERE[LANGUAGE[0]])


@bot(services=SERVICES, public=True)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Speaks the user's language."""
    apology = lambda: SORRY[LANGUAGE[0]]  # noqa: E731
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=TAKING, apology=apology)


def talking() -> Any:
    """A session with audio."""
    LANGUAGE[0] = "en"
    begin()
    return connected(talker, scripted, sys.modules[spoken.__name__], audio=RATE)


async def test_the_apology_follows_the_language() -> None:
    """The function is asked when something has failed."""
    failure = ProviderError("acme", "auth")
    script.write([failure], [Text("Fine.")], [failure])
    async with talking() as wire:
        await write(wire)
        await wait(wire, 1.0)
        LANGUAGE[0] = "de"
        for _ in range(2):
            await write(wire)
            await wait(wire, 1.0)
        assert shown(wire) == ["Sorry.", "Fine.", "Leider nein."]


async def test_the_question_to_a_silent_user_follows_the_language() -> None:
    """The function is asked after the silence."""
    script.write([Text("Fine.")])
    async with talking() as wire:
        LANGUAGE[0] = "de"
        await silence(wire, 3.0)
        assert shown(wire) == ["Hallo?"]


@pytest.mark.parametrize("language", ["fr", ""])
async def test_a_function_that_fails_says_nothing(language: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log names it, and the session goes on."""
    script.write([Text("Fine.")])
    async with talking() as wire:
        LANGUAGE[0] = language
        await silence(wire, 3.0)
        await write(wire)
        await wait(wire, 1.0)
        assert shown(wire) == ["Fine."]
    assert "test_texts.py" in caplog.text


def test_a_text_is_a_text_or_a_function() -> None:
    """A mistake is reported where it is written."""
    with pytest.raises(AuthorError, match="give a text, or a function that returns one"):
        TurnTaking(idle_text=5)  # type: ignore[arg-type]
