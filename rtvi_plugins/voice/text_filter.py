"""Text filters: what is spoken of a sentence that is shown, and which part of the sentence was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from ..errors import AuthorError, report
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import where
from ..utils.json_values import replace_surrogates

__all__ = ("Part", "Spoken", "SpokenSentence")

#: A part of a sentence: the text that is shown, and the text that is spoken.
Part: TypeAlias = tuple[str, str]

#: A text filter: takes a sentence, and returns the text to speak, or the parts of the sentence in order.
Spoken: TypeAlias = Callable[[str], str | Iterable[Part]]


@frozen
class SpokenSentence:
    """A sentence and its parts."""

    shown: str
    parts: Sequence[Part]
    #: The text for the TTS; empty if nothing is spoken.
    text: str
    #: How many characters of space were removed before the text.
    _skipped: int

    @classmethod
    def of(cls, sentence: str, spoken: Spoken | None) -> SpokenSentence:
        """Apply a text filter. If it fails, that is logged, and the sentence is spoken as it is."""
        parts = [(sentence, sentence)] if spoken is None else _parts(sentence, spoken)
        text = "".join(each for _, each in parts)
        return cls(sentence, parts, text.strip(), len(text) - len(text.lstrip()))

    def shown_until(self, position: int) -> int:
        """Return how many characters of the sentence were heard, if this many of `text` were."""
        if position >= len(self.text):
            return len(self.shown)
        left, shown = position + self._skipped, 0
        for as_shown, as_spoken in self.parts:
            if left <= 0 and (as_spoken or not self._is_joined(shown)):
                break  # marks behind the last word belong to it, those before the next word do not
            if len(as_spoken) > left:
                return shown + _share(as_shown, as_spoken, left)
            left -= len(as_spoken)
            shown += len(as_shown)
        return shown

    def _is_joined(self, at: int) -> bool:
        return at > 0 and not self.shown[at - 1].isspace() and not self.shown[at : at + 1].isspace()


def _share(shown: str, spoken: str, heard: int) -> int:
    """Return how much of a part was heard: exactly if it is spoken as it is shown, else in whole words."""
    if shown == spoken:
        return heard
    share = len(shown) * heard // len(spoken)
    return share if shown[share].isspace() else max(shown.rfind(" ", 0, share), 0)


def _parts(sentence: str, spoken: Spoken) -> list[Part]:
    try:
        found: Any = spoken(sentence)
        parts = [(sentence, found)] if isinstance(found, str) else [(shown, said) for shown, said in found]
        if not all(isinstance(each, str) for part in parts for each in part) or _shown(parts) != sentence:
            raise AuthorError(
                f"{where(spoken)} gave something else than a text, or than pairs whose first halves are the sentence. "
                "Return the text to speak, or pairs of texts: as shown, as spoken."
            )
    except BaseException as error:
        reraise_control_flow(error)
        report(where(spoken), error)
        return [(sentence, sentence)]
    return [(shown, replace_surrogates(said)) for shown, said in parts]


def _shown(parts: Iterable[Part]) -> str:
    return "".join(shown for shown, _ in parts)
