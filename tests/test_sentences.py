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
