"""How well speech is recognised, measured with real audio."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
import pytest

from rtvi_plugins.kinds import Transcript
from rtvi_plugins_whisper.stt import WhisperSTT, configure, whisper_stt

#: Half a minute of speech takes 5 s of an idle core, and cores are not always idle.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Hear = Callable[[WhisperSTT, bytes], AsyncIterator[object]]
Speech = Callable[[str, str], bytes]

#: Whisper writes numbers in digits, and English as in America.
SAME = {"10": "ten", "2": "two", "20": "twenty", "canceled": "cancelled"}


def words(text: str) -> list[str]:
    """Return the words of a text, without punctuation and capitals."""
    return [SAME.get(each, each) for each in re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()]


def word_errors(said: list[str], heard: list[str]) -> int:
    """Return how many words were inserted, left out or confused with others."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        above, row = row, [at]
        for column, other in enumerate(heard):
            row.append(min(above[column + 1] + 1, row[column] + 1, above[column] + (word != other)))
    return row[-1]


@pytest.mark.parametrize("voice", ["slt", "kal16"])
def test_it_gets_nineteen_words_in_twenty_right(
    voice: str, speech: Speech, hear: Hear, sentences: Sequence[str]
) -> None:
    """The word error rate of the smallest model over twenty sentences is at most 5 %; PocketSphinx's test allows 15."""

    async def recognise() -> list[str]:
        async with whisper_stt("tiny.en") as stt:
            configure(stt, interim=False)
            pieces = [piece for each in sentences async for piece in hear(stt, speech(voice, each))]
        return [each.text for each in pieces if isinstance(each, Transcript)]

    heard = anyio.run(recognise)
    errors = sum(word_errors(words(one), words(other)) for one, other in zip(sentences, heard, strict=True))
    assert errors / sum(len(each.split()) for each in sentences) <= 0.05, heard
