"""The times of words, which a LiveKit plugin may report from before the start of the audio."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from rtvi_plugins.kinds import Transcript, Word
from rtvi_plugins_livekit import stt
from rtvi_plugins_livekit.running import timed_word


class Timed(str):
    """A word in the form of LiveKit's plugins."""

    __slots__ = ()
    start_time, end_time = -0.04, 0.2


@pytest.mark.parametrize("early", [-0.04, math.nan])
def test_a_time_before_the_audio_becomes_0(early: float) -> None:
    """`Word` does not accept it."""
    assert timed_word("one", early, early) == Word("one", 0.0, 0.0)
    assert timed_word("one", early) == Word("one", 0.0)
    assert timed_word("one", 0.5, 0.7) == Word("one", 0.5, 0.7)


def test_a_transcript_whose_first_word_begins_too_early_is_a_transcript() -> None:
    """Otherwise, the utterance would fail."""
    found: Any = SimpleNamespace(text="one", language="en", words=[Timed("one")], confidence=0.9)
    transcript = stt._transcript(found, final=True)  # pyright: ignore[reportPrivateUsage]
    assert transcript == Transcript("one", True, "en", [Word("one", 0.0, 0.2)], confidence=0.9)
