"""espeak-ng by ctypes: its library, its voices and its one synthesizer. Only the helper process imports this.

The library has one state for the whole process and is not to be called by two threads. Its API is that of
`speak_lib.h` of version 1.52, whose names of constants are given beside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    Union,
    byref,
    c_char,
    c_char_p,
    c_int,
    c_ubyte,
    c_uint,
    c_void_p,
    cast,
    create_string_buffer,
    string_at,
)
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ("CannotStart", "Espeak", "Refused", "Voice")

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all has been given to the callback
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: a missing file is an error code, not the end of the process
_BY_CHARACTERS = 1  # POS_CHARACTER
_UTF8 = 1  # espeakCHARS_UTF8. Without espeakSSML and espeakPHONEMES, markup is read out as it is written.
_END_PAUSE = 0x1000  # espeakENDPAUSE: a sentence's pause at the end
_END_OF_EVENTS = 0  # espeakEVENT_LIST_TERMINATED
_WORD_EVENT = 1  # espeakEVENT_WORD

#: espeak_PARAMETER, by the names that a request has for them.
_PARAMETERS: Mapping[str, int] = {"words_per_minute": 1, "volume": 2, "pitch": 3, "word_gap": 7}


class CannotStart(Exception):
    """The library does not initialise, for example because its data are not there."""


class Refused(Exception):
    """The library does not do what it is asked: it has no such voice, or cannot say the text."""


class Voice(NamedTuple):
    """A voice: its name for people, its languages with its own first, and its file."""

    name: str
    languages: list[str]
    identifier: str


class _Id(Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", c_char * 8))


class _Event(Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _Id),
    )


class _Voice(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("languages", c_void_p),
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("internal", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = CFUNCTYPE(c_int, c_void_p, c_int, POINTER(_Event))

#: Called for each bit of audio and each word. What it returns tells whether to go on.
OnAudio = Callable[[bytes], bool]
OnWord = Callable[[int, int], None]


class Espeak:
    """The library, loaded and initialised. `CannotStart` if it cannot be.

    The process is moved into the folder of the data, because the library fails with a path to them of 160 bytes or
    more, and with letters that its locale lacks; from there the path is a dot.
    """

    def __init__(self, library: str, data: str) -> None:
        self._lib: Any = CDLL(str(Path(library).absolute()))
        self._data = Path(data).absolute()
        os.chdir(self._data.parent)
        self.rate: int = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DO_NOT_EXIT)
        if self.rate <= 0:
            raise CannotStart(f"espeak_Initialize returned {self.rate}")
        self._lib.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        self._on_audio: OnAudio = lambda _: False
        self._on_word: OnWord = lambda _, __: None
        self._callback = _Callback(self._take)  # kept, because the library does not count as a reference
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voice = ""

    def voices(self) -> list[Voice]:
        """The voices, without variants, and without those that are silent because they lack their dictionary."""
        return [voice for voice in _listed(self._lib.espeak_ListVoices(None)) if self._can_speak(voice)]

    def variants(self) -> list[Voice]:
        """What can be put behind a voice and a plus."""
        wanted = create_string_buffer(b"variant")
        spec = _Voice(languages=cast(wanted, c_void_p))
        return list(_listed(self._lib.espeak_ListVoices(byref(spec))))

    def _can_speak(self, voice: Voice) -> bool:
        """Whether the dictionary is there that the voice names, which is that of its language if it names none."""
        named = {language.partition("-")[0] for language in voice.languages}
        if any((self._data / f"{name}_dict").exists() for name in named):
            return True
        lines = (self._data / "lang" / voice.identifier).read_text("utf-8", "replace").splitlines()
        named = {line.split()[1] for line in lines if line.startswith("dictionary ")}
        return any((self._data / f"{name}_dict").exists() for name in named)

    def choose(self, voice: str) -> None:
        """Speak with the voice of this identifier from now on. `Refused` if there is none."""
        if voice == self._voice:  # loading some takes 4 ms
            return
        self._voice = ""
        if self._lib.espeak_SetVoiceByName(voice.encode("utf-8", "replace")) != 0:
            raise Refused(f"no voice {voice!r}")
        self._voice = voice

    def adjust(self, order: Mapping[str, Any]) -> None:
        """Set what a request says about speed, pitch and so on. Loading a voice resets them."""
        for name, parameter in _PARAMETERS.items():
            self._lib.espeak_SetParameter(parameter, int(order[name]), 0)

    def speak(self, text: str, *, pause: bool, on_audio: OnAudio, on_word: OnWord) -> None:
        """Say the text. Returns when all has been said, or when `on_audio` returned False.

        `on_word` gets the position of a word's first character, from 0, and the sample that it starts at; it is called
        before `on_audio` gets that sample. `Refused` where the library reports an error.
        """
        self._on_audio, self._on_word = on_audio, on_word
        encoded = text.encode("utf-8", "replace")
        flags = _UTF8 | (_END_PAUSE if pause else 0)
        result = self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTERS, 0, flags, None, None)
        if result != 0:
            raise Refused(f"espeak_Synth returned {result}")

    def _take(self, samples: int | None, count: int, events: Any) -> int:
        """Called by the library; a result of 1 stops it. An exception would be printed and taken for 0."""
        try:
            for event in _until(events, lambda event: bool(event.type == _END_OF_EVENTS)):
                if event.type == _WORD_EVENT:
                    self._on_word(event.text_position - 1, event.sample)
            return 0 if samples is None or count <= 0 or self._on_audio(string_at(samples, 2 * count)) else 1
        except Exception:
            return 1


def _until(array: Any, is_end: Callable[[Any], bool]) -> Iterator[Any]:
    index = 0
    while not is_end(array[index]):
        yield array[index]
        index += 1


def _listed(voices: Any) -> Iterator[Voice]:
    for each in _until(voices, lambda pointer: not pointer):
        voice = each.contents
        yield Voice(_text(voice.name), list(_languages(voice.languages)), _text(voice.identifier))


def _languages(address: int) -> Iterator[str]:
    """Each language, which a byte with its priority precedes; a byte of 0 in the place of one ends the list."""
    while entry := string_at(address):
        yield _text(entry[1:])
        address += len(entry) + 1


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()
