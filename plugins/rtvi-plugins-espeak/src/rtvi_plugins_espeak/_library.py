"""Call espeak-ng through ctypes. Only the helper process imports this.

The library has one state for the whole process, and must not be called by two threads. Its API is `speak_lib.h` of
version 1.52; the comments give the names of its constants.
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

__all__ = ("CannotStart", "Espeak", "InstalledVoice", "Rejected")

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns after the last call of the callback
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: a missing file is an error code, not the end of the process
_BY_CHARACTERS = 1  # POS_CHARACTER
_UTF8 = 1  # espeakCHARS_UTF8. Without espeakSSML and espeakPHONEMES, markup is spoken as text.
_END_PAUSE = 0x1000  # espeakENDPAUSE: a sentence's pause at the end
_END_OF_EVENTS = 0  # espeakEVENT_LIST_TERMINATED
_WORD_EVENT = 1  # espeakEVENT_WORD

#: espeak_PARAMETER, by their names in a request.
_PARAMETERS: Mapping[str, int] = {"words_per_minute": 1, "volume": 2, "pitch": 3, "word_gap": 7}


class CannotStart(Exception):
    """The library does not initialise, for example because its data are missing."""


class Rejected(Exception):
    """The library has no such voice, or cannot speak the text."""


class InstalledVoice(NamedTuple):
    """A voice: a readable name, its languages with the main one first, and its file."""

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

#: Called for each piece of audio, and returns whether to continue.
OnAudio = Callable[[bytes], bool]
#: Called for each word.
OnWord = Callable[[int, int], None]


class Espeak:
    """The library, loaded and initialised. Raise `CannotStart` if that fails.

    It changes the working directory to the folder of the data, so that their path is a dot: the library fails with a
    path of 160 bytes or more, and with letters that its locale lacks.
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
        self._callback = _Callback(self._on_synthesized)  # kept, because the library holds no reference
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voice = ""

    def voices(self) -> list[InstalledVoice]:
        """Return the voices without variants, and without those that have no dictionary, because they are silent."""
        return [voice for voice in _listed(self._lib.espeak_ListVoices(None)) if self._can_speak(voice)]

    def variants(self) -> list[InstalledVoice]:
        """Return the variants, which can follow a voice and a plus."""
        wanted = create_string_buffer(b"variant")
        spec = _Voice(languages=cast(wanted, c_void_p))
        return list(_listed(self._lib.espeak_ListVoices(byref(spec))))

    def _can_speak(self, voice: InstalledVoice) -> bool:
        """Return whether the dictionary of the voice exists. A voice that names none has that of its language."""
        named = {language.partition("-")[0] for language in voice.languages}
        if any((self._data / f"{name}_dict").exists() for name in named):
            return True
        lines = (self._data / "lang" / voice.identifier).read_text("utf-8", "replace").splitlines()
        named = {line.split()[1] for line in lines if line.startswith("dictionary ")}
        return any((self._data / f"{name}_dict").exists() for name in named)

    def choose(self, voice: str) -> None:
        """Speak with this voice from now on. Raise `Rejected` if it does not exist."""
        if voice == self._voice:  # loading some voices takes 4 ms
            return
        self._voice = ""
        if self._lib.espeak_SetVoiceByName(voice.encode("utf-8", "replace")) != 0:
            raise Rejected(f"no voice {voice!r}")
        self._voice = voice

    def adjust(self, request: Mapping[str, Any]) -> None:
        """Set the speed, pitch and other parameters of a request. Loading a voice resets them."""
        for name, parameter in _PARAMETERS.items():
            self._lib.espeak_SetParameter(parameter, int(request[name]), 0)

    def speak(self, text: str, *, pause: bool, on_audio: OnAudio, on_word: OnWord) -> None:
        """Speak a text. Return when all was spoken, or when `on_audio` returned False.

        `on_word` gets the position of a word's first character, from 0, and the sample at which the word starts. It is
        called before `on_audio` gets that sample. Raise `Rejected` if the library reports an error.
        """
        self._on_audio, self._on_word = on_audio, on_word
        encoded = text.encode("utf-8", "replace")
        flags = _UTF8 | (_END_PAUSE if pause else 0)
        result = self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTERS, 0, flags, None, None)
        if result != 0:
            raise Rejected(f"espeak_Synth returned {result}")

    def _on_synthesized(self, samples: int | None, count: int, events: Any) -> int:
        """Called by the library; 1 stops it. ctypes would print an exception and return 0."""
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


def _listed(voices: Any) -> Iterator[InstalledVoice]:
    for each in _until(voices, lambda pointer: not pointer):
        voice = each.contents
        yield InstalledVoice(_text(voice.name), list(_languages(voice.languages)), _text(voice.identifier))


def _languages(address: int) -> Iterator[str]:
    """Yield each language, which follows a byte with its priority. A zero byte ends the list."""
    while entry := string_at(address):
        yield _text(entry[1:])
        address += len(entry) + 1


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()
