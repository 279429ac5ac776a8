"""Text is prepared: it is cleaned and divided, and its words are found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins_espeak._text import LONGEST, Part, Words, clean, parts

#: Lone surrogates and control characters too: an LLM's text may hold anything.
ANY_TEXT = st.text(st.characters(), max_size=2000)


@given(ANY_TEXT)
def test_cleaning_keeps_every_position_and_leaves_what_can_be_sent(text: str) -> None:
    """The result has the same length, is valid Unicode, and contains no command."""
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert cleaned.encode().decode() == cleaned
    assert not set(cleaned) & {chr(code) for code in range(32)} - set("\t\n\r")
    assert all(one == other for one, other in zip(text, cleaned, strict=True) if other != " ")


@given(ANY_TEXT)
def test_parts_are_short_and_together_the_whole_text(text: str) -> None:
    """Nothing is lost or said twice, and only the last part may be empty."""
    cut = list(parts(text))
    assert "".join(part.text for part in cut) == clean(text)
    assert all(0 < len(part.text) <= LONGEST for part in cut[:-1])
    assert len(cut[-1].text) <= LONGEST
    assert cut[-1].pause


@pytest.mark.parametrize(
    ("text", "first", "pause"),
    [
        ("One two. " + "three " * 60, "One two. ", True),
        ("“Is it so?” " + "three " * 60, "“Is it so?” ", True),
        ("一二。" + "三" * 400, "一二。", True),
        ("three " * 60, "three " * 50, False),
        ("x" * 400, "x" * 300, False),
    ],
)
def test_a_long_text_is_cut_where_a_sentence_ends_or_else_between_words(text: str, first: str, pause: bool) -> None:
    """A pause is made only where the text has one."""
    assert next(parts(text)) == Part(first, pause)


@given(st.text(max_size=200), st.lists(st.integers(-5, 250)))
def test_each_word_is_told_once_and_in_order_wherever_espeak_sees_one(text: str, positions: list[int]) -> None:
    """Even with wrong positions, no character is lost, reported twice or reordered."""
    words, reported = Words(text), list[str]()
    for position in positions:
        if (found := words.at(position)) is not None:
            reported += [*found[0], found[1]]
    reported += words.rest()
    assert "".join(reported).split() == "".join(text.split()).split()
    assert all(word and not any(sign.isspace() for sign in word) for word in reported)


def test_a_word_is_what_stands_between_spaces() -> None:
    """A word includes its punctuation. How espeak divides it does not matter."""
    words = Words('He said: "it is 1,234.50", well-known.')
    assert words.at(0) == ([], "He")
    assert words.at(3) == ([], "said:")
    assert words.at(10) == ([], '"it')
    assert words.at(16) == (["is"], '1,234.50",')
    assert words.at(18) is None
    assert words.at(2) is None
    assert words.at(32) == ([], "well-known.")
    assert words.at(99) is None
    assert words.rest() == []


def test_scripts_without_spaces_have_the_words_that_espeak_sees() -> None:
    """Otherwise, a whole sentence would be one word."""
    words = Words("今天天气。很好")
    assert words.at(0) == ([], "今")
    assert words.at(2) == (["天"], "天")
    assert words.at(3) == ([], "气。")
    assert words.rest() == ["很好"]
