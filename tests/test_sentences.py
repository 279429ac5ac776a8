"""Streamed text cut into sentences, each given away once it is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.voice._sentences import Sentences

CUT: list[tuple[str, list[str]]] = [
    ("", []),
    ("   ", []),
    ("Hello", ["Hello"]),
    ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
    ("It costs 3.50 at example.com today.", ["It costs 3.50 at example.com today."]),
    ("Dr. Ada e.g. met Mr. Bob. Yes.", ["Dr. Ada e.g. met Mr. Bob.", "Yes."]),
    ('He said "Go!" and left. Then (really!) rain.', ['He said "Go!"', "and left.", "Then (really!)", "rain."]),
    ("One\nTwo\n\nThree", ["One", "Two", "Three"]),
    ("Wait... what?! No…\nYes.", ["Wait...", "what?!", "No…", "Yes."]),
    ("你好。再见！", ["你好。", "再见！"]),
]


@pytest.mark.parametrize(("text", "sentences"), CUT)
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_text_is_cut_at_the_ends_of_sentences(text: str, sentences: list[str], size: int) -> None:
    """Into the same sentences, in whatever pieces it comes."""
    cutter = Sentences()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    found = [sentence for piece in pieces for sentence in cutter.feed(piece)]
    assert [*found, *cutter.flush()] == sentences


def test_a_sentence_is_given_away_as_soon_as_it_is_whole() -> None:
    """An end is one when something follows; what is left comes when the text has ended."""
    cutter = Sentences()
    assert cutter.feed("Hello") == []
    assert cutter.feed(".") == []
    assert cutter.feed(" How") == ["Hello."]
    assert cutter.flush() == ["How"]
    assert cutter.flush() == []


pieces = st.lists(st.text("abD .,!?…\n\"')]。！1e.g", max_size=8), max_size=10)


@given(pieces=pieces)
def test_nothing_is_lost_added_or_put_in_another_order(pieces: list[str]) -> None:
    """But for the space around sentences, none of which is empty."""
    cutter = Sentences()
    found = [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.flush()
    assert "".join("".join(found).split()) == "".join("".join(pieces).split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


def test_a_sentence_without_an_end_is_cut_between_two_words() -> None:
    """Text that never ends is spoken all the same, and no word of it is broken."""
    cutter = Sentences()
    found = [sentence for _ in range(1_000) for sentence in cutter.feed("word ")]
    assert len(found) >= 5
    assert all(500 <= len(sentence) <= 600 for sentence in found)
    assert set(" ".join([*found, *cutter.flush()]).split()) == {"word"}
    assert sum(sentence.count("word") for sentence in found) > 800


def test_a_single_word_that_is_too_long_is_cut_anywhere() -> None:
    """Nothing of it is lost."""
    cutter = Sentences()
    found = cutter.feed("a" * 1_500)
    assert [len(sentence) for sentence in [*found, *cutter.flush()]] == [600, 600, 300]


@pytest.mark.parametrize("piece", [".", "...", ".)", "!?", "word ", "a.", "\n", "。", " "])
def test_pieces_without_number_take_a_time_in_proportion(piece: str) -> None:
    """None of what was seen is looked at again; the test's time limit is the judge."""
    cutter = Sentences()
    found = [sentence for _ in range(50_000) for sentence in cutter.feed(piece)]
    text = "".join("".join([*found, *cutter.flush()]).split())
    assert len(text) == 50_000 * len(piece.strip())


@pytest.mark.parametrize("stops", [".", "!?", '.")', "…", "。"])
def test_one_piece_of_stops_without_number_takes_a_time_in_proportion(stops: str) -> None:
    """A run of them is looked at from its beginning alone."""
    cutter = Sentences()
    found = cutter.feed(stops * 300_000 + "x")
    assert "".join([*found, *cutter.flush()]) == stops * 300_000 + "x"
