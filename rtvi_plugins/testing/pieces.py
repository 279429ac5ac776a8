"""Judge the pieces of a stream: their classes, the types of their fields, the format of audio, and its order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from ..kinds import Audio, Word
from .operations import SENTENCES

__all__ = ("problem_of_audio", "problem_of_order", "problem_of_pieces")


def problem_of_pieces(pieces: Sequence[object], classes: tuple[type, ...]) -> str | None:
    """Return what is wrong with the first piece that is of another class, or whose field has another type."""
    fields = {cls: _fields(cls) for cls in classes}
    for each in pieces:
        if not isinstance(each, classes):
            return f"{_name(each)}. Yield {' or '.join(cls.__name__ for cls in classes)}"
        for name, allowed in fields.get(type(each), {}).items():
            value = getattr(each, name)
            if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
                asked = " or ".join("None" if cls is type(None) else cls.__name__ for cls in allowed)
                return f"{type(each).__name__} with {name} = {_name(value)}. Its {name} is {asked}"
    return None


def _name(value: object) -> str:
    """Return the class of a value, and not the value, which may hold anything."""
    return "None" if value is None else type(value).__name__


def _fields(cls: type) -> dict[str, tuple[type, ...]]:
    """Return the classes that the fields of a piece may have."""
    return {name: _classes(hint) for name, hint in get_type_hints(cls).items()}


def _classes(hint: Any) -> tuple[type, ...]:
    if get_origin(hint) in (Union, UnionType):
        return tuple(cls for each in get_args(hint) for cls in _classes(each))
    cls = get_origin(hint) or hint
    return (float, int) if cls is float else (cls,)


def problem_of_audio(pieces: Sequence[Any]) -> str | None:
    """Return what is wrong with the format of a stream's audio."""
    audio = [each for each in pieces if isinstance(each, Audio)]
    for each in audio:
        if each.rate <= 0 or each.channels <= 0:
            return f"a piece has the rate {each.rate} and {each.channels} channels"
        if len(each.data) % (2 * each.channels):
            return f"a piece has {len(each.data)} bytes, which is not a multiple of {2 * each.channels}"
    formats = {(each.rate, each.channels) for each in audio}
    return f"one stream has several formats (rate, channels): {sorted(formats)}" if len(formats) > 1 else None


def problem_of_order(pieces: Sequence[Any], alone: Sequence[Sequence[Any]]) -> str | None:
    """Return the problem with the order of speech, if any. `alone` has the pieces of each sentence spoken alone."""
    words = [each for each in pieces if isinstance(each, Word)]
    for before, after in pairwise(words):
        if after.start < before.start:
            return f"the word {after.text!r} starts at {after.start:g} s, after {before.text!r} at {before.start:g} s"
    for each in words:
        if each.start < 0 or (each.end is not None and each.end < each.start):
            return f"the word {each.text!r} starts at {each.start:g} s and ends at {each.end} s"
    text, at = " ".join(SENTENCES).lower(), 0
    for each in words:
        place = text.find(each.text.strip().lower(), at)
        if place < 0:
            return f"the word {each.text!r} comes out of order"
        at = place
    begin, *others = (_pcm(each)[:_COMPARED] for each in alone)
    spoken = _pcm(pieces)[:_COMPARED]
    if len(begin) == _COMPARED and spoken != begin and spoken in others:
        return "the audio begins with the second sentence"
    return None


#: How many bytes of audio are compared. Voices that speak each time a little differently never match.
_COMPARED: Final = 2_000


def _pcm(pieces: Sequence[Any]) -> bytes:
    """Return the audio without the silence at its beginning."""
    return b"".join(each.data for each in pieces if isinstance(each, Audio)).lstrip(b"\0")
