"""The tokens of the model to text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ("SWEAR_WORDS", "spoken_tokens", "without_repeats")

#: One step of the model's timestamps, in seconds.
_STEP = 0.02

#: How many seconds before the end of the audio a phrase begins, at least. The model invents those that begin later.
_LEAST_PHRASE = 0.3

#: Marks that stand alone, several in a row.
_MARKS = re.compile(r"(?:\s[?!.,]+){2,}")

#: Small models hear them in unclear speech.
SWEAR_WORDS = "fuck fucking fucked fucker shit shitty bullshit bitch bitches asshole".split()


def spoken_tokens(tokens: Sequence[int], end: int, first_time: int, seconds: float) -> Iterator[int]:
    """Yield the tokens that are words: those below `end`, in phrases that begin within the audio.

    The tokens from `first_time` on are the times between phrases. After the end of the audio, the model often says the
    whole once more.
    """
    spoken = True
    for token in tokens:
        if token >= first_time:
            spoken = (token - first_time) * _STEP < max(seconds - _LEAST_PHRASE, _STEP)
        elif token < end and spoken:
            yield token


def without_repeats(text: str) -> str:
    """Return the text once if it is nothing but the same words over and over; the last time may be cut off.

    A phrase of three words counts from the second time on, and a shorter one from the third. Marks over and over, as in
    `later ? ? ?`, are left out.
    """
    text = _MARKS.sub("", text)
    words = text.split()
    plain = [re.sub(r"\W", "", each.lower()) for each in words]
    for length in range(1, len(words)):
        enough = length + 2 if length >= 3 else 3 * length
        if len(words) >= enough and all(word == plain[at % length] for at, word in enumerate(plain)):
            return " ".join(words[:length])
    return text
