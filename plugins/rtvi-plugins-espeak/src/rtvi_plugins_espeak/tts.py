"""The provider `espeak` of kind `tts`: its options, and the action that lists its voices."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from attrs import frozen
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import action, options, service

from ._voices import Voice
from .speech import EspeakTTS, VoiceParameters, open_speech

__all__ = ("EspeakTTS", "Voice", "Voices", "configure", "espeak_tts", "voices")


@service("tts", "espeak")
@asynccontextmanager
async def espeak_tts() -> AsyncGenerator[EspeakTTS]:
    """Speech by espeak-ng: on this machine, in over a hundred languages; it sounds like a robot."""
    async with open_speech() as tts:
        yield tts


@options(espeak_tts)
def configure(
    tts: EspeakTTS,
    /,
    voice: Annotated[
        Literal[
            "en-us",
            "en-us+f3",
            "en-us+m3",
            "en-gb",
            "en-gb+f3",
            "de",
            "fr-fr",
            "es",
            "it",
            "nl",
            "pl",
            "pt-br",
            "ru",
            "cmn",
            "ja",
            "ar",
            "hi",
            "tr",
        ]
        | str,
        Doc("A language or the name of a voice, and optionally a plus and a variant. The action `voices` lists them."),
    ] = "en-us",
    words_per_minute: Annotated[int, ge(80), le(450), Doc("Speaking rate, in words per minute.")] = 165,
    pitch: Annotated[int, ge(0), le(99), Doc("Pitch; 50 is the normal pitch of the voice.")] = 50,
    volume: Annotated[int, ge(0), le(200), Doc("Volume, in percent; above 100 it may distort.")] = 100,
    word_gap: Annotated[int, ge(0), le(100), Doc("Extra pause between words, in hundredths of a second.")] = 0,
) -> None:
    """Set the sound of the bot's voice, from the next answer on."""
    tts.parameters = VoiceParameters(tts.voices.find(voice), words_per_minute, pitch, volume, word_gap)


@frozen
class Voices:
    """The voices, and the variants that each of them can have, as in `en-us+f3`."""

    voices: Sequence[Voice]
    variants: Sequence[str]


@action(espeak_tts)
async def voices(
    tts: EspeakTTS,
    /,
    language: Annotated[str, Doc("List only the voices for this language, as in en or pt-br; empty lists all.")] = "",
) -> Voices:
    """List the voices for a language."""
    return Voices(tts.voices.of(language), tts.voices.variants)
