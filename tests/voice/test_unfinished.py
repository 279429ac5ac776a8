"""The policy that waits longer after an unfinished sentence: alone, in a conversation, and compared with silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import STTPiece, STTRequest, Text, Transcript
from rtvi_plugins.voice import TurnTaking, UnfinishedSentence, UserTurn

from ..fakes.conversation import said, silence, speak
from ..fakes.providers import Fakes
from ..tools.pages import DOCS

pytestmark = pytest.mark.anyio

UNFINISHED = """
I want to
We would like a table for
The keys are in my
I'd
He said he was
I would take the big one, but
Call me because
My number is
My number is zero three
my phone number's 555
Let me see...
First, the soup,
That is all. And
We are three people so
Could you send it to?
Do you have a room with a?
If?
""".strip().splitlines()

FINISHED = """
Hello
I do not want to.
I would love to
What is this for?
What is this for
Where are you from
Yes, I am.
Tell me who he is
My number is 555 0199 123
I lost my phone number
That was it.
Das ist alles und
She paid the bill
I think so
Is that so?
Do I have to?
Would you like to?
Is that all that you are?
Could I?
Can you?
""".strip().splitlines()


@pytest.mark.parametrize("text", UNFINISHED)
async def test_it_waits_after_an_unfinished_sentence(text: str) -> None:
    """The last word, the last mark or the digits of a telephone number decide. An STT may add a full stop anywhere."""
    assert await UnfinishedSentence(2.0)(UserTurn(text, 1.0)) == 2.0
    if text[-1].isalnum():
        assert await UnfinishedSentence(2.0)(UserTurn(f"{text}.", 1.0)) == 2.0


@pytest.mark.parametrize("text", FINISHED)
async def test_it_does_not_wait_after_any_other(text: str) -> None:
    """It does not wait in another language either."""
    assert await UnfinishedSentence()(UserTurn(text, 1.0)) == 0.0


@pytest.mark.parametrize(
    ("reported", "text", "wait"),
    [
        (True, "My number is", 0.0),
        (False, "That was it.", 2.0),
        (None, "My number is", 2.0),
        (None, "That was it.", 0.0),
    ],
)
async def test_the_report_of_the_stt_on_the_last_part_decides(reported: bool | None, text: str, wait: float) -> None:
    """Some vendors judge the sound of the voice, which the words do not show."""
    transcripts = (Transcript("Hello.", True, ends_turn=not reported), Transcript(text, True, ends_turn=reported))
    assert await UnfinishedSentence(2.0)(UserTurn(f"Hello. {text}", 1.0, transcripts)) == wait


@pytest.mark.parametrize("seconds", [-1, float("inf"), "2", None, True])
def test_its_seconds_are_seconds(seconds: Any) -> None:
    """The mistake is reported at its line."""
    with pytest.raises(AuthorError, match="give a finite number of seconds"):
        UnfinishedSentence(seconds)


async def test_a_caller_who_looks_for_a_number_is_not_interrupted() -> None:
    """Both parts become one message. After it, the answer comes at once."""
    heard = ["My number is", "five five five zero one nine nine."]

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        yield Transcript(heard.pop(0), final=True)

    fakes = Fakes([Text("Fine.")], stt=transcribe, taking=TurnTaking(end_of_turn=UnfinishedSentence(1.5)))
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.8)
        await speak(wire, 1, 0.5)
        assert await said(wire) == []
        await silence(wire, 1.0)
        assert await said(wire) == [
            ("user", "My number is five five five zero one nine nine."),
            ("assistant", "Fine."),
        ]


def test_it_is_measured_against_silence_alone() -> None:
    """Both numbers are better than with 0.8 s of silence. The docs have the output of the script."""
    command = [sys.executable, str(DOCS.parent / "bench" / "end_of_turn.py")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    rows = {cells[1].strip(): cells for line in lines[2:] if (cells := line.split("|"))}
    silence_alone, policy = rows["silence of 0.8 s"], rows["silence of 0.4 s and UnfinishedSentence()"]
    assert int(policy[2]) < int(silence_alone[2])
    assert float(policy[3].split()[0]) < float(silence_alone[3].split()[0])
    page = (DOCS / "explanation" / "benchmarks.md").read_text("utf-8")
    assert "\n".join(lines) in page
