"""A list of sentences as a grammar for PocketSphinx, and which of them was heard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from attrs import frozen

from ._dictionary import knows, nearest_word

__all__ = ("Grammar", "Heard", "Recognisable", "read_grammar", "similarity", "spoken")

#: How much worse a sentence may fit the sound than free dictation does, in log likelihood per 10 ms of speech.
#: Measured with flite and espeak-ng: sentences of a grammar of twenty had 0.0 or more; other sentences that covered
#: enough of the speech had -1.1 or less.
_FREE_FIT = -0.4

#: How much of what dictation recognised as speech a sentence must cover. Sentences of a grammar covered 0.9 or more.
#: Others of espeak-ng, in which dictation recognises almost nothing, covered 0.5.
_COVERED = 0.85


@frozen
class Heard:
    """The result of a worker. The last three fields are set with a grammar, after the end of the utterance."""

    dictation: str
    grammar: str = ""
    fit: float = 0.0
    covered: float = 0.0
    cmn: str | None = None


@frozen
class Grammar:
    """The sentences that can be heard. Maps each as it is spoken, in lower case, to the one that its author wrote."""

    sentences: Mapping[str, str]

    @property
    def jsgf(self) -> str:
        """The grammar in the Java Speech Grammar Format."""
        return f"#JSGF V1.0; grammar sentences; public <sentence> = {' | '.join(self.sentences)};"

    def recognise(self, heard: Heard, agreement: float) -> str:
        """Return the sentence that was heard, as its author wrote it; empty if it was none of them."""
        if not heard.grammar:
            return ""
        sentence = self._complete(heard.grammar)
        similar = similarity(sentence, heard.dictation) >= agreement
        fits = heard.fit >= _FREE_FIT and heard.covered >= _COVERED
        return self.sentences[sentence] if similar or fits else ""

    def _complete(self, words: str) -> str:
        """Return the nearest sentence, because the decoder may omit the last word."""
        return words if words in self.sentences else max(self.sentences, key=lambda each: similarity(each, words))

    def recognise_beginning(self, heard: Heard, agreement: float) -> str:
        """Return the words of a sentence that have been heard; empty if dictation heard something else."""
        return heard.grammar if similarity(heard.grammar, heard.dictation) >= agreement else ""


def similarity(one: str, other: str) -> float:
    """Return how similar two texts are, from 0 to 1."""
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def read_grammar(sentences: Sequence[str]) -> Grammar | None:
    """Return the grammar of these sentences; None without any."""
    return Grammar({spoken(sentence): sentence for sentence in sentences}) if sentences else None


def spoken(text: str) -> str:
    """Return the words of a text as the dictionary writes them: in lower case, without punctuation."""
    return " ".join(filter(None, map(_word, re.split(r"[^\w.'-]+|--+", text.lower().replace("’", "'")))))


def _word(part: str) -> str:
    """Strip a word. A full stop at its end stays if only that form is known, as in `a.m.`."""
    word = part.strip(".'-_")
    return f"{word}." if f"{word}." in part and not knows(word) and knows(f"{word}.") else word


class Recognisable:
    """A validator: each sentence has words, and all of them are in the dictionary."""

    def __call__(self, instance: object, attribute: object, value: Sequence[str]) -> None:
        for sentence in value:
            if not spoken(sentence):
                raise ValueError(f"has {sentence!r}, which has no words")
        unknown = [word for word in sorted({w for each in value for w in spoken(each).split()}) if not knows(word)]
        if unknown:
            raise ValueError(f"has words that the dictionary lacks: {', '.join(map(_with_hint, unknown[:5]))}")


def _with_hint(word: str) -> str:
    if word.isdecimal():
        return f"{word!r} (write numbers in words)"
    nearest = nearest_word(word)
    return repr(word) if nearest is None else f"{word!r} (the nearest that it has is {nearest!r})"
