"""The receptionist with real speech recognition: it understands enough to answer."""

from __future__ import annotations

import anyio
import pytest
from test_topics import is_answered

from record import VOICES, recognise, speak

#: Decoding takes a third of the time of the speech, on cores that are idle.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SAID = {
    "Is breakfast included?": "breakfast",
    "Do you have a free room?": "availability",
    "Where can I park my car?": "parking",
    "Book a room for two nights.": "booking",
    "Are you a robot?": "robot",
}


@pytest.mark.parametrize(("text", "topic"), SAID.items())
def test_what_is_said_is_answered(text: str, topic: str) -> None:
    """At least three of four voices succeed."""
    heard = anyio.run(recognise, [speak(voice, text) for voice in VOICES])
    assert sum(is_answered(topic, each) for each in heard) >= 3, heard
