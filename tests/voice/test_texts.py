"""Fixed texts of a bot that a function chooses each time."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, ProviderError, Session, bot, converse
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import Text
from rtvi_plugins.voice import TurnTaking

from ..fakes.conversation import shown, silence, wait, write
from ..fakes.providers import SERVICES, Fakes

pytestmark = pytest.mark.anyio

LANGUAGE = ["en"]
SORRY = {"en": "Sorry.", "de": "Leider nein."}
THERE = {"en": "Hello?", "de": "Hallo?"}
TAKING = TurnTaking(idle_seconds=2.0, idle_text=lambda: THERE[LANGUAGE[0]])


def talking(*answers: Any) -> Any:
    """A session with audio, of a bot that speaks the user's language."""
    LANGUAGE[0] = "en"

    def apology() -> str:
        return SORRY[LANGUAGE[0]]

    @bot(services=SERVICES, public=True)
    async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
        """A bot that speaks the user's language."""
        await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=TAKING, apology=apology)

    return Fakes(*answers).session(talker)


async def test_the_apology_follows_the_language() -> None:
    """The function is called when something has failed."""
    failure = ProviderError("acme", "auth")
    async with talking([failure], [Text("Fine.")], [failure]) as wire:
        await write(wire)
        await wait(wire, 1.0)
        LANGUAGE[0] = "de"
        for _ in range(2):
            await write(wire)
            await wait(wire, 1.0)
        assert shown(wire) == ["Sorry.", "Fine.", "Leider nein."]


async def test_the_question_to_a_silent_user_follows_the_language() -> None:
    """The function is called after the silence."""
    async with talking([Text("Fine.")]) as wire:
        LANGUAGE[0] = "de"
        await silence(wire, 3.0)
        assert shown(wire) == ["Hallo?"]


@pytest.mark.parametrize("language", ["fr", ""])
async def test_a_function_that_fails_says_nothing(language: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the function, and the session continues."""
    async with talking([Text("Fine.")]) as wire:
        LANGUAGE[0] = language
        await silence(wire, 3.0)
        await write(wire)
        await wait(wire, 1.0)
        assert shown(wire) == ["Fine."]
    assert "test_texts.py" in caplog.text


def test_a_text_is_a_text_or_a_function() -> None:
    """A mistake is reported at its line."""
    with pytest.raises(AuthorError, match="give a text, or a function that returns one"):
        TurnTaking(idle_text=5)  # type: ignore[arg-type]
