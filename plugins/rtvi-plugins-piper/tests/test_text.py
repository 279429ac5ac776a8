"""Text is divided into parts, and words get times."""

from __future__ import annotations

import pytest

from rtvi_plugins_piper._text import LONGEST, parts
from rtvi_plugins_piper._words import word_starts

ALONE = {"price": "pɹˈaɪs", "of": "ʌv", "the": "ðə", "room,": "ɹˈuːm, ", "10:30": "tˈɛn θˈɜːɾi", "-": "", "now": "nˈaʊ"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good day. Who are you?", ["Good day.", "Who are you?"]),
        ("It is $80.50, please", ["It is $80.50, please"]),
        ("Say [[hɛ]] and\x00 go", ["Say  hɛ  and  go"]),
        ("  ", []),
        ("", []),
    ],
)
def test_a_sentence_is_a_part(text: str, expected: list[str]) -> None:
    """Piper's own marks for phonemes count as text."""
    assert list(parts(text)) == expected


@pytest.mark.parametrize("text", ["word, " * 90, "word " * 90, "w" * 999])
def test_a_long_sentence_is_cut_and_nothing_is_lost(text: str) -> None:
    """It is divided after a comma, otherwise between words, otherwise anywhere."""
    found = list(parts(text))
    assert all(len(part) <= LONGEST for part in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert "," not in text or all(part.endswith(",") for part in found)


def test_words_that_are_spoken_as_one_have_their_own_times() -> None:
    """This includes words that are spoken as several, and words that are not spoken."""
    words = list(ALONE)
    spoken = "pɹˈaɪs ʌvðə ɹˈuːm, tˈɛn θˈɜːɾi nˈaʊ."
    starts = word_starts(words, [(each, 100) for each in spoken], ALONE.__getitem__)
    places = [spoken.index(each) for each in ("pɹ", "ʌv", "ðə", "ɹˈuː", "tˈɛ", "nˈaʊ", "nˈaʊ")]
    assert starts == [100 * place for place in places]


def test_without_any_phoneme_words_begin_at_the_end() -> None:
    """Signs alone make no sound."""
    assert word_starts(["...", "!"], [(".", 50)], lambda _: "") == [50, 50]
