"""The voices of espeak, and which of them a name means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field, frozen

from rtvi_plugins.errors import InvalidConfig, unknown

__all__ = ("Voice", "VoiceList", "read_voices")


@frozen
class Voice:
    """A voice: the value for the option, a readable name, and its languages."""

    voice: str
    name: str
    languages: Sequence[str]


@define
class VoiceList:
    """All voices and variants, and their names."""

    voices: Sequence[Voice]
    variants: Sequence[str]
    _files: dict[str, str] = field(repr=False)
    _variant_files: dict[str, str] = field(repr=False)

    def find(self, name: str) -> str:
        """Return espeak's name of a voice, with its variant. Raise `InvalidConfig` if there is no such voice.

        `name` is a language, a file or a full name, in small or capital letters; a variant may follow after a plus.
        """
        wanted, plus, variant = name.strip().partition("+")
        file = self._files.get(wanted.strip().lower())
        if file is None:
            raise InvalidConfig([unknown("voice", wanted, self._files, path="$.voice")])
        if not plus:
            return file
        kept = self._variant_files.get(variant.strip().lower())
        if kept is None:
            raise InvalidConfig([unknown("variant of a voice", variant, self._variant_files, path="$.voice")])
        return f"{file}+{kept}"

    def of(self, language: str) -> list[Voice]:
        """Return the voices for a language, written with or without a region; all voices for an empty one."""
        wanted = language.strip().lower()
        if not wanted:
            return list(self.voices)
        return [
            voice
            for voice in self.voices
            if any(f"{each.lower()}-".startswith(f"{wanted}-") for each in voice.languages)
        ]


def read_voices(voices: Sequence[Sequence[Any]], variants: Sequence[Sequence[Any]]) -> VoiceList:
    """Return the list of voices that the helper process sent: a name, the languages and the file of each."""
    named: dict[str, tuple[str, Sequence[str], str]] = {}
    for name, languages, file in voices:
        own = str(languages[0]).lower() if languages else _stem(file)
        named[own if own not in named else _stem(file)] = name, languages, file
    files: dict[str, str] = {}
    for key, file in _names(named):
        files.setdefault(key.lower(), file)
    kept = {name.lower(): _file_name(file) for name, _, file in variants}
    kept |= {_stem(file): _file_name(file) for _, _, file in variants}
    return VoiceList(
        sorted((Voice(key, name, list(languages)) for key, (name, languages, _) in named.items()), key=_by_voice),
        sorted({_file_name(file) for _, _, file in variants}, key=str.lower),
        files,
        kept,
    )


def _names(named: dict[str, tuple[str, Sequence[str], str]]) -> Iterator[tuple[str, str]]:
    """Yield each name of each voice, the most specific first. If two voices share a name, it means the first."""
    yield from ((key, file) for key, (_, _, file) in named.items())
    yield from ((_stem(file), file) for _, _, file in named.values())
    yield from ((language, file) for _, languages, file in named.values() for language in languages)
    yield from ((name, file) for name, _, file in named.values())


def _by_voice(voice: Voice) -> str:
    return voice.voice


def _file_name(identifier: str) -> str:
    return identifier.rpartition("/")[2]


def _stem(identifier: str) -> str:
    return _file_name(identifier).lower()
