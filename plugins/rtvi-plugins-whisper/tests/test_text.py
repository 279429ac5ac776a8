"""The model's tokens become text."""

from __future__ import annotations

import pytest

from rtvi_plugins_whisper._text import spoken_tokens, without_repeats

END, FIRST_TIME = 100, 110


def at(seconds: float) -> int:
    """Return the token of a time."""
    return FIRST_TIME + round(seconds / 0.02)


def test_phrases_that_begin_after_the_audio_are_left_out() -> None:
    """The model repeats the sentence for the silence that was added."""
    tokens = [at(0), 1, 2, at(1.8), at(1.8), 3, at(2.2), at(2.2), 1, 2, at(4), END]
    assert list(spoken_tokens(tokens, END, FIRST_TIME, 2.4)) == [1, 2, 3]


def test_a_very_short_sound_keeps_its_first_phrase() -> None:
    """It begins approximately at the end of the sound."""
    assert list(spoken_tokens([at(0), 1, at(0.2), END], END, FIRST_TIME, 0.2)) == [1]


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("Hello. Hello. Hello.", "Hello."),
        ("Please turn off the lights. Please turn off the", "Please turn off the lights."),
        ("Two nights. Two nights. Two nights.", "Two nights."),
        ("Can I cancel it later ? ? ? ?", "Can I cancel it later"),
        ("Oui ! Deux.", "Oui ! Deux."),
        ("No, no.", "No, no."),
        ("Thank you, thank you.", "Thank you, thank you."),
        ("I said that I like it.", "I said that I like it."),
        ("", ""),
    ],
)
def test_a_text_that_is_only_repeats_is_written_once(text: str, once: str) -> None:
    """Natural repetitions are kept."""
    assert without_repeats(text) == once
