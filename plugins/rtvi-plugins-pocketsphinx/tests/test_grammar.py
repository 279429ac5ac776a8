"""A grammar of sentences: how they are read and refused, and how other speech is recognised as such."""

from __future__ import annotations

import pytest

from rtvi_plugins_pocketsphinx._grammar import Heard, Recognisable, read_grammar, spoken


def test_a_sentence_is_spoken_without_punctuation_and_capitals() -> None:
    """The dictionary has words in lower case. Some contain an apostrophe or a full stop."""
    assert spoken("Yes, please! It’s ten o'clock -- (really).") == "yes please it's ten o'clock really"
    assert spoken("Is Mr. Smith there at 9 a.m.?") == "is mr smith there at 9 a.m."


def test_no_sentences_are_no_grammar() -> None:
    """Free dictation is the default."""
    assert read_grammar([]) is None


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("I play the flugelhornist", "'flugelhornist'"),
        ("a receptionst", r"'receptionst' \(the nearest that it has is 'receptionist'\)"),
        ("a table for 2", r"'2' \(write numbers in words\)"),
        ("...", "which has no words"),
    ],
)
def test_what_cannot_be_recognised_is_refused(sentence: str, message: str) -> None:
    """The error names each word that is missing from the dictionary, and a word that it has."""
    with pytest.raises(ValueError, match=message):
        Recognisable()(None, None, ["yes", sentence])


@pytest.mark.parametrize(
    ("heard", "sentence"),
    [
        (Heard("please call me back", "please call me back", -9, 0), "Please call me back."),  # alike in words
        (Heard("nice ali back", "please call me back", 0.1, 1.0), "Please call me back."),  # the sound fits
        (Heard("nice ali back", "please call me", 0.1, 1.0), "Please call me back."),  # and a word is missing
        (Heard("seven green bottles", "please call me back", -2, 1.0), ""),
        (Heard("the", "please", 3.6, 0.5), ""),  # fits, but leaves out half of the speech
        (Heard("seven green bottles", ""), ""),
    ],
)
def test_a_sentence_is_kept_where_words_or_sound_agree(heard: Heard, sentence: str) -> None:
    """Otherwise the result is empty."""
    grammar = read_grammar(["Please call me back.", "No."])
    assert grammar is not None
    assert grammar.recognise(heard, 0.6) == sentence


def test_the_beginning_of_a_sentence_is_told_where_the_words_agree() -> None:
    """A similar sound is not enough for a beginning."""
    grammar = read_grammar(["please call me back"])
    assert grammar is not None
    assert grammar.recognise_beginning(Heard("please tall", "please call"), 0.6) == "please call"
    assert grammar.recognise_beginning(Heard("seven", "please"), 0.6) == ""
