"""How well speech is recognised, measured with real audio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

import anyio
import pytest

from rtvi_plugins.kinds import Transcript
from rtvi_plugins_pocketsphinx.stt import PocketSphinxSTT, configure, pocketsphinx_stt

#: Decoding a minute of speech takes 10 s of two idle cores, and cores are not always idle.
pytestmark = pytest.mark.timeout(240)

Hear = Callable[[PocketSphinxSTT, bytes], AsyncIterator[object]]
Speech = Callable[[str, str], bytes]


@pytest.fixture(scope="session")
def recognise(hear: Hear) -> Callable[[Sequence[bytes], Sequence[str]], Sequence[str]]:
    """`recognise(utterances, grammar)` returns the final transcripts. Two speakers say half of them each."""

    async def by_two(utterances: Sequence[bytes], grammar: Sequence[str]) -> Sequence[str]:
        found = [""] * len(utterances)

        async def by_one(first: int) -> None:
            async with pocketsphinx_stt() as stt:
                configure(stt, grammar=grammar)
                for at in range(first, len(utterances), 2):
                    pieces = [piece async for piece in hear(stt, utterances[at])]
                    found[at] = next(each.text for each in pieces if isinstance(each, Transcript) and each.final)

        async with anyio.create_task_group() as speakers:
            speakers.start_soon(by_one, 0)
            speakers.start_soon(by_one, 1)
        return found

    return lambda utterances, grammar: anyio.run(by_two, utterances, grammar)


Recognise = Callable[[Sequence[bytes], Sequence[str]], Sequence[str]]


def word_errors(said: str, heard: str) -> int:
    """Return how many words were inserted, left out or confused with others."""
    row = list(range(len(heard.split()) + 1))
    for at, word in enumerate(said.split(), 1):
        above, row = row, [at]
        for column, other in enumerate(heard.split()):
            row.append(min(above[column + 1] + 1, row[column] + 1, above[column] + (word != other)))
    return row[-1]


def test_dictation_gets_six_words_in_seven_right(
    recognise: Recognise, speech: Speech, sentences: Sequence[str]
) -> None:
    """The word error rate over twenty sentences is at most 15 %."""
    heard = recognise([speech("kal16", sentence) for sentence in sentences], ())
    errors = sum(map(word_errors, sentences, heard))
    assert errors / sum(len(sentence.split()) for sentence in sentences) <= 0.15, heard


@pytest.mark.parametrize("voice", ["slt", "espeak-ng"])
def test_each_sentence_of_a_grammar_is_recognised(
    recognise: Recognise, speech: Speech, sentences: Sequence[str], voice: str
) -> None:
    """That holds for voices that dictation hardly understands, too; the text is the author's, with its capitals."""
    grammar = [sentence.capitalize() + "." for sentence in sentences]
    assert recognise([speech(voice, sentence) for sentence in sentences], grammar) == grammar


@pytest.mark.parametrize("voice", ["kal16", "espeak-ng"])
def test_what_is_not_in_the_grammar_is_heard_as_nothing(
    recognise: Recognise, speech: Speech, sentences: Sequence[str], others: Sequence[str], voice: str
) -> None:
    """A grammar alone would make one of its sentences of anything."""
    assert recognise([speech(voice, sentence) for sentence in others], sentences) == [""] * len(others)


def test_silence_and_noise_are_heard_as_no_sentence(recognise: Recognise, sentences: Sequence[str]) -> None:
    """With a grammar, a second of silence or of noise is not speech."""
    assert recognise([bytes(32000), noise(300), noise(3000)], sentences) == ["", "", ""]


def test_silence_and_a_quiet_noise_have_no_words(recognise: Recognise) -> None:
    """The same is true for dictation."""
    assert recognise([bytes(32000), noise(30)], ()) == ["", ""]


def noise(amplitude: int) -> bytes:
    """Return a second of white noise, which is the same each time."""
    random = Random(1)
    return b"".join(random.randint(-amplitude, amplitude).to_bytes(2, "little", signed=True) for _ in range(16000))
