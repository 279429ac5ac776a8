"""A list of sentences as a grammar: what PocketSphinx is given, and which of them it has heard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from attrs import frozen

from ._dictionary import knows, nearest_word

__all__ = ("Grammar", "Heard", "Recognisable", "likeness", "read_grammar", "spoken")

#: How much worse, in log likelihood per 10 ms of speech, a sentence may explain the sound than free dictation does.
#: Measured with flite and espeak-ng: sentences of a grammar of twenty come to 0.0 at worst; others, where they account
#: for as much of the speech as below, to -1.1 at best.
_FREE_FIT = -0.4

#: The share of what dictation took for speech that a sentence must account for. Other sentences of espeak-ng, in
#: which dictation hears next to nothing, come to 0.5; those of a grammar to 0.9 and more.
_COVERED = 0.85


@frozen
class Heard:
    """What a worker heard. The last three are known of a grammar, and only when the utterance has ended."""

    dictation: str
    grammar: str = ""
    fit: float = 0.0
    covered: float = 0.0
    cmn: str | None = None


@frozen
class Grammar:
    """The sentences that can be heard: as they are spoken, in lower case, and as their author wrote them."""

    sentences: Mapping[str, str]

    @property
    def jsgf(self) -> str:
        """The grammar in the Java Speech Grammar Format."""
        return f"#JSGF V1.0; grammar sentences; public <sentence> = {' | '.join(self.sentences)};"

    def recognise(self, heard: Heard, agreement: float) -> str:
        """The sentence that was heard, as its author wrote it; empty if it was none of them."""
        if not heard.grammar:
            return ""
        sentence = self._complete(heard.grammar)
        alike = likeness(sentence, heard.dictation) >= agreement
        fits = heard.fit >= _FREE_FIT and heard.covered >= _COVERED
        return self.sentences[sentence] if alike or fits else ""

    def _complete(self, words: str) -> str:
        """The decoder may stop a word short of a sentence's end, so this is the sentence that comes nearest."""
        return words if words in self.sentences else max(self.sentences, key=lambda each: likeness(each, words))

    def recognise_beginning(self, heard: Heard, agreement: float) -> str:
        """The words of a sentence that were heard so far; empty if dictation heard something else."""
        return heard.grammar if likeness(heard.grammar, heard.dictation) >= agreement else ""


def likeness(one: str, other: str) -> float:
    """How alike two texts are, from 0 to 1."""
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def read_grammar(sentences: Sequence[str]) -> Grammar | None:
    """The grammar of these sentences; None for none."""
    return Grammar({spoken(sentence): sentence for sentence in sentences}) if sentences else None


def spoken(text: str) -> str:
    """The words of a text as the dictionary spells them: in lower case, without punctuation."""
    return " ".join(filter(None, map(_word, re.split(r"[^\w.'-]+|--+", text.lower().replace("’", "'")))))


def _word(part: str) -> str:
    """A word alone. A full stop at its end stays only where the word is not known without it, as in `a.m.`."""
    word = part.strip(".'-_")
    return f"{word}." if f"{word}." in part and not knows(word) and knows(f"{word}.") else word


class Recognisable:
    """A validator: each sentence has words, and the dictionary has every one of them."""

    def __call__(self, instance: object, attribute: object, value: Sequence[str]) -> None:
        for sentence in value:
            if not spoken(sentence):
                raise ValueError(f"has {sentence!r}, in which there is no word")
        unknown = [word for word in sorted({w for each in value for w in spoken(each).split()}) if not knows(word)]
        if unknown:
            raise ValueError(f"has words that the dictionary lacks: {', '.join(map(_told, unknown[:5]))}")


def _told(word: str) -> str:
    if word.isdecimal():
        return f"{word!r} (write numbers in words)"
    nearest = nearest_word(word)
    return repr(word) if nearest is None else f"{word!r} (the nearest that it has is {nearest!r})"
