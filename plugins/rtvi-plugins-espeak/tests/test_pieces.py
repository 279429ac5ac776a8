"""Words and audio are reported in the order in which they are heard."""

from __future__ import annotations

from rtvi_plugins.helper_process import Frame
from rtvi_plugins.kinds import Audio, Word
from rtvi_plugins_espeak._pieces import Pieces
from rtvi_plugins_espeak._protocol import Kind, pack_word

RATE = 1000


def word(position: int, sample: int) -> Frame:
    """Return the event of the start of a word."""
    return Frame(Kind.WORD, 1, pack_word(position, sample))


def audio(samples: int) -> Frame:
    """Return the event of this much audio."""
    return Frame(Kind.AUDIO, 1, bytes(2 * samples))


def pieces_of(pieces: Pieces, *frames: Frame) -> list[Audio | Word]:
    """Return everything that is reported for a part."""
    return [*(piece for frame in frames for piece in pieces.add(frame)), *pieces.end()]


def seconds(pieces: list[Audio | Word]) -> float:
    """Return their lengths."""
    return sum(piece.seconds for piece in pieces if isinstance(piece, Audio))


def test_audio_is_told_after_its_word_and_in_short_pieces() -> None:
    """Each 60 ms from espeak become two pieces."""
    pieces = Pieces(RATE)
    pieces.begin("One two")
    first, half, _, second, rest = pieces_of(pieces, word(0, 0), audio(60), word(4, 60), audio(20))
    assert (first, second) == (Word("One", 0), Word("two", 0.06))
    assert isinstance(half, Audio)
    assert half.seconds == 0.03
    assert isinstance(rest, Audio)
    assert rest.seconds == 0.02


def test_words_that_espeak_passed_over_share_the_time_of_the_one_before() -> None:
    """They come before the audio that contains them. This includes the last words."""
    pieces = Pieces(RATE)
    pieces.begin("out of it is")
    said = pieces_of(pieces, word(0, 0), audio(100), word(7, 100), audio(200))
    assert [piece for piece in said if isinstance(piece, Word)] == [
        Word("out", 0),
        Word("of", 0.05),
        Word("it", 0.1),
        Word("is", 0.2),
    ]
    assert [type(piece) for piece in said[:3]] == [Word, Word, Audio]


def test_the_next_part_continues_where_this_one_ended() -> None:
    """Times count from the start of the whole request."""
    pieces = Pieces(RATE)
    pieces.begin("One")
    pieces_of(pieces, word(0, 0), audio(500))
    pieces.begin("two")
    assert pieces_of(pieces, word(0, 100), audio(500))[0] == Word("two", 0.6)


def test_no_word_starts_before_the_one_before_it() -> None:
    """With unusual words, the times that espeak reports can go backwards."""
    pieces = Pieces(RATE)
    pieces.begin("<< >>")
    said = pieces_of(pieces, word(0, 90), audio(100), word(3, 80), audio(100))
    assert [piece.start for piece in said if isinstance(piece, Word)] == [0.09, 0.09]


def test_audio_without_a_word_is_told_all_the_same() -> None:
    """A row of dots is silence, and none of it is lost."""
    pieces = Pieces(RATE)
    pieces.begin("...")
    said = pieces_of(pieces, audio(60), audio(40))
    assert said[0] == Word("...", 0)
    assert round(seconds(said), 3) == 0.1
