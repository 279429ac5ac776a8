"""Find when each word of a text is spoken, from the phonemes and their durations.

espeak-ng makes the phonemes of a whole sentence. It joins words ("of the") and speaks some as several (10:30). So each
word is also turned into phonemes separately. The two rows are compared, and a word starts where its first phoneme does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher

__all__ = ("word_starts",)

#: Marks before the vowel of a syllable, which have a duration of their own.
_STRESS = "ˈˌ"


def word_starts(
    words: Sequence[str], spoken: Sequence[tuple[str, int]], phonemes_of: Callable[[str], Iterable[str]]
) -> list[int]:
    """Return the sample at which each word starts. `spoken` is the phonemes of the text, each with its samples.

    `phonemes_of` returns the phonemes of a word that is spoken alone. The starts never decrease.
    """
    row, starts = _letters_in_time(spoken)
    alone: list[str] = []
    begins: list[int] = []
    for word in words:
        begins.append(len(alone))
        alone += [each for each in phonemes_of(word) if _is_letter(each)]
    found: list[int] = []
    for at in _matched(alone, row, begins):
        found.append(max([starts[at], *found[-1:]]))
    return found


def _letters_in_time(spoken: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    """Return the phonemes that are letters and the sample at which each starts, with the end of all as one more."""
    row: list[str] = []
    starts: list[int] = []
    now, stressed_at = 0, None
    for phoneme, samples in spoken:
        if _is_letter(phoneme):
            row.append(phoneme)
            starts.append(now if stressed_at is None else stressed_at)
            stressed_at = None
        elif phoneme in _STRESS:
            stressed_at = now
        now += samples
    return row, [*starts, now]


def _is_letter(phoneme: str) -> bool:
    return phoneme.isalpha() and phoneme not in _STRESS


def _matched(alone: Sequence[str], row: Sequence[str], positions: Iterable[int]) -> Iterable[int]:
    """Yield where in `row` each position in `alone` is. Between two common stretches, count on from the first."""
    blocks = SequenceMatcher(None, alone, row, autojunk=False).get_matching_blocks()
    for position in positions:
        at, limit = position, len(row)
        for block in blocks:
            if block.a > position:
                limit = block.b
                break
            at = block.b + position - block.a
        yield min(at, limit)
