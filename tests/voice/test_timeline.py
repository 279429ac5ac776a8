"""Which part of a text is heard after how many seconds of its audio: pieces, words and characters."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.voice.timeline import Timeline

JAPANESE = "これは日本語のとても長い文章です。"


def timeline_of(*pieces: tuple[str, float]) -> Timeline:
    """A timeline of pieces of text with their seconds of audio, in order. All audio is made."""
    timeline = Timeline()
    for text, seconds in pieces:
        timeline.take(text)
        timeline.made(seconds)
    timeline.finish()
    return timeline


# ---- without the times of words --------------------------------------------------------------------------------------


def test_a_word_before_the_audio_is_searched_for_at_its_start() -> None:
    """Some vendors send small negative times."""
    timeline = Timeline()
    timeline.take("One two. " * 10)
    timeline.take("Three four.", 5.0)
    assert not timeline.word("four", -0.1)


def test_nothing_is_heard_before_the_first_sound() -> None:
    """This is true also if the text is known."""
    timeline = timeline_of(("One two.", 1.0))
    assert (timeline.heard(0.0), timeline.heard(-1.0), timeline.heard_text(0.0)) == (0, 0, "")


def test_all_is_heard_at_the_end() -> None:
    """This is true also after the end."""
    timeline = timeline_of(("One two.", 1.0), ("Three.", 0.5))
    assert timeline.text == "One two. Three."
    assert timeline.heard_text(1.5) == timeline.heard_text(99.0) == "One two. Three."


def test_a_piece_begins_where_all_audio_before_it_ends() -> None:
    """The length of the pieces does not matter."""
    timeline = timeline_of(("So slow.", 10.0), ("And then very fast indeed.", 1.0))
    assert timeline.heard_text(8.0) == "So"
    assert timeline.heard_text(10.0) == "So slow."
    assert timeline.heard_text(10.45) == "So slow. And then"
    assert timeline.heard_text(11.0) == "So slow. And then very fast indeed."


def test_within_a_piece_words_are_heard_whole() -> None:
    """A word counts once all of it was heard."""
    timeline = timeline_of(("aaaa bbbb cccc", 1.4))
    assert [timeline.heard_text(seconds) for seconds in (0.39, 0.4, 0.8, 0.9, 1.39)] == [
        "",
        "aaaa",
        "aaaa",
        "aaaa bbbb",
        "aaaa bbbb",
    ]


def test_speech_that_is_still_being_made_is_judged_by_the_usual_pace() -> None:
    """The pace is fifteen characters a second, for the text that the TTS has taken."""
    timeline = Timeline()
    timeline.take("aaaa bbbb cccc dddd eeee")
    timeline.made(1.0)
    assert timeline.heard_text(1.0) == "aaaa bbbb cccc"


def test_text_that_was_taken_and_not_made_is_not_heard() -> None:
    """A TTS may read ahead before it speaks."""
    timeline = Timeline()
    timeline.take("One two.")
    timeline.made(1.0)
    timeline.take("Three.")
    assert timeline.heard_text(1.0) == "One two."


def test_pieces_that_are_taken_at_once_share_their_audio() -> None:
    """Nobody knows where the second piece begins, so all text is spread evenly."""
    timeline = timeline_of(("aaaa.", 0.0), ("bbbb.", 1.1))
    assert timeline.pieces == [(0, 5), (6, 11)]
    assert timeline.heard_text(0.6) == "aaaa."


# ---- languages without spaces ----------------------------------------------------------------------------------------


def test_a_language_without_spaces_is_heard_by_characters() -> None:
    """There are no words to cut at, so the text may be cut anywhere."""
    timeline = timeline_of((JAPANESE, len(JAPANESE) * 0.1))
    assert timeline.heard_text(0.55) == JAPANESE[:5]
    assert timeline.heard_text(1.25) == JAPANESE[:12]


def test_pieces_of_a_language_without_spaces_are_joined_without_one() -> None:
    """The text is the same as it was written."""
    timeline = timeline_of(("はい。", 0.3), ("いいえ。", 0.4))
    assert timeline.text == "はい。いいえ。"
    assert timeline.heard_text(0.3) == "はい。"
    assert timeline.heard_text(0.5) == "はい。いい"


def test_each_piece_is_cut_as_its_language_is() -> None:
    """One language has words, the other has characters."""
    timeline = timeline_of(("Yes I do.", 0.9), (JAPANESE, len(JAPANESE) * 0.1))
    assert timeline.heard_text(0.8) == "Yes I"
    assert timeline.heard_text(1.25) == f"Yes I do. {JAPANESE[:3]}"


# ---- with the times of words -----------------------------------------------------------------------------------------


def test_words_are_heard_when_they_start() -> None:
    """The times of words are used, and the length of the text is not."""
    timeline = timeline_of(("One two three.", 3.0))
    for word, start in (("One", 0.0), ("two", 0.1), ("three.", 2.5)):
        timeline.word(word, start)
    assert timeline.has_words
    assert [timeline.heard_text(seconds) for seconds in (0.05, 0.1, 2.4, 2.5)] == [
        "One",
        "One two",
        "One two",
        "One two three.",
    ]


def test_times_that_go_back_do_not() -> None:
    """A word is heard after the word before it."""
    timeline = timeline_of(("One two three.", 3.0))
    for word, start in (("One", 1.0), ("two", 0.2), ("three", 2.0)):
        timeline.word(word, start)
    assert [timeline.heard_text(seconds) for seconds in (0.5, 1.0, 1.9, 2.0)] == [
        "",
        "One two",
        "One two",
        "One two three",
    ]


@pytest.mark.parametrize("stranger", ["", "zwei", "t", "hre", "ne"])
def test_what_is_no_word_of_the_text_is_passed_over(stranger: str) -> None:
    """A number may be read out in other words. A part of a word is not a word."""
    timeline = timeline_of(("One two three.", 3.0))
    for word, start in (("One", 0.0), (stranger, 0.5), ("two", 1.0)):
        timeline.word(word, start)
    assert [timeline.heard_text(seconds) for seconds in (0.6, 1.0)] == ["One", "One two"]


def test_a_word_is_not_looked_for_far_away() -> None:
    """The same word a hundred letters later is another word."""
    timeline = timeline_of((f"I have 1 cat, {'and so on, ' * 10} at last one dog.", 9.0))
    for index, word in enumerate(("I", "have", "one", "cat")):
        timeline.word(word, float(index))
    assert [timeline.heard_text(seconds + 0.1) for seconds in range(4)] == ["I", "I have", "I have", "I have 1 cat"]


def test_a_word_that_comes_twice_is_found_twice() -> None:
    """Each occurrence is found after the one before."""
    timeline = timeline_of(("no no no", 3.0))
    for index in range(3):
        timeline.word("no", float(index))
    assert [timeline.heard_text(seconds + 0.1) for seconds in range(3)] == ["no", "no no", "no no no"]


# ---- whatever comes --------------------------------------------------------------------------------------------------

texts = st.text("ab é.。はい ", min_size=1, max_size=12).map(str.strip).filter(bool)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), texts, st.just(0.0)),
        st.tuples(st.just("made"), st.just(""), st.floats(0.0, 2.0)),
        st.tuples(st.just("word"), st.sampled_from(["a", "ab", "b", "はい", "z", ""]), st.floats(-1.0, 8.0)),
    ),
    max_size=20,
)


def built(steps: list[tuple[str, str, float]], *, finished: bool) -> Timeline:
    """The pieces that a TTS took, the audio that it made and the times that it sent, in this order."""
    timeline = Timeline()
    for kind, text, seconds in steps:
        match kind:
            case "take":
                timeline.take(text)
            case "made":
                timeline.made(seconds)
            case _:
                timeline.word(text, seconds)
    if finished:
        timeline.finish()
    return timeline


def test_a_word_beside_text_without_spaces_is_heard_as_a_whole() -> None:
    """It starts after that text, not at the last space."""
    timeline = timeline_of(("はい。good day", 1.0))
    assert [timeline.heard_text(each / 11) for each in (2, 3, 5, 7, 9, 11)] == [
        "はい",
        "はい。",
        "はい。",
        "はい。good",
        "はい。good",
        "はい。good day",
    ]


@given(steps=steps, finished=st.booleans(), moments=st.lists(st.floats(-1.0, 30.0), max_size=20))
def test_what_is_heard_only_grows_and_never_beyond_the_text(
    steps: list[tuple[str, str, float]], finished: bool, moments: list[float]
) -> None:
    """This is true for everything that a TTS takes, makes and sends, in every order."""
    timeline = built(steps, finished=finished)
    heard = [timeline.heard(seconds) for seconds in sorted([*moments, 0.0, timeline.seconds])]
    assert all(before <= after for before, after in pairwise(heard))
    assert all(0 <= each <= len(timeline.text) for each in heard)
    assert all(timeline.text.startswith(timeline.heard_text(seconds)) for seconds in moments)


@given(steps=steps)
def test_all_of_it_is_heard_at_the_end_whatever_comes(steps: list[tuple[str, str, float]]) -> None:
    """This needs that all audio was made, and that there was some."""
    timeline = built([*steps, ("made", "", 0.1)], finished=True)
    assert timeline.heard(timeline.seconds) == len(timeline.text)
    assert timeline.heard_text(timeline.seconds) == timeline.text.rstrip()


@given(starts=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=12))
def test_words_are_told_in_their_order(starts: list[float]) -> None:
    """Their times may be in any order."""
    words = [f"w{index}" for index in range(len(starts))]
    timeline = timeline_of((" ".join(words), 20.0))
    for word, start in zip(words, starts, strict=True):
        timeline.word(word, start)
    found = [timeline.heard_text(seconds).split() for seconds in sorted(starts)]
    assert all(each == words[: len(each)] for each in found)
    assert found[-1] == words


@pytest.mark.parametrize(("first", "second"), [("Привет мир", "Как дела?"), ("Oh là là…", "Écoute bien.")])
def test_languages_with_spaces_have_one_between_pieces(first: str, second: str) -> None:
    """Also if their letters are not ASCII."""
    assert timeline_of((first, 1.0), (second, 1.0)).text == f"{first} {second}"


def test_words_of_a_language_without_spaces_are_found() -> None:
    """Each one directly follows the one before."""
    timeline = timeline_of(("これは日本語です。", 3.0))
    for word, start in (("これは", 0.0), ("日本語", 1.0), ("です", 2.0)):
        timeline.word(word, start)
    assert [timeline.heard_text(seconds) for seconds in (0.5, 1.5, 2.5)] == [
        "これは",
        "これは日本語",
        "これは日本語です",
    ]


def test_a_word_of_any_alphabet_is_found_whole() -> None:
    """The beginning of a longer word does not match."""
    timeline = timeline_of(("Это нет не так.", 3.0))
    timeline.word("Это", 0.0)
    timeline.word("не", 1.0)
    assert timeline.heard_text(1.5) == "Это нет не"


def test_a_sentence_of_one_word_is_heard_whole() -> None:
    """A word without a space is not Japanese for that reason."""
    timeline = Timeline()
    timeline.take("Absolutely.")
    timeline.made(1.1)
    timeline.finish()
    assert [timeline.heard_text(seconds) for seconds in (0.5, 1.1)] == ["", "Absolutely."]


def test_a_long_number_hides_no_words_of_the_next_sentence() -> None:
    """The TTS reads it out, and reports none of its digits as they are written."""
    timeline = Timeline()
    timeline.take(f"Call {'0049 30 123456 ' * 6}now.")
    timeline.made(20.0)
    assert timeline.word("Call", 0.0)
    assert not timeline.word("Then", 19.0)  # it is not spoken yet
    timeline.take("Then ask for Ada.")
    timeline.made(2.0)
    assert [timeline.word(each, 20.0 + number / 2) for number, each in enumerate(["Then", "ask"])] == [True, True]
    assert timeline.heard_text(20.2).endswith("now. Then")
