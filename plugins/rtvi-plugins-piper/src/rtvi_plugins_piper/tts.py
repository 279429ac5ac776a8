"""The provider `piper` of kind `tts`: its options, and the action that lists its voices."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.to_thread
from attrs import frozen
from attrs.validators import ge, le

from rtvi_plugins import Doc, ProviderError, action, lifespan, options, service
from rtvi_plugins.errors import InvalidConfig, unknown

from ._helper import PROVIDER, log, shared_helper
from ._voices import VoiceNotFound, find
from .speech import PiperTTS

__all__ = ("PiperTTS", "Voice", "configure", "keep_helper", "piper_tts", "voices")


@lifespan
@asynccontextmanager
async def keep_helper() -> AsyncGenerator[None]:
    """Keep the helper process with its voices between sessions: a start takes seconds. The first session starts it."""
    async with shared_helper.use():
        yield


@service("tts", "piper")
@asynccontextmanager
async def piper_tts(
    voices: Annotated[
        Sequence[str],
        Doc("Folders with Piper voices, .onnx files, or names of installed packages with voices."),
    ] = (),
) -> AsyncGenerator[PiperTTS]:
    """Speech by Piper: on this machine, with a natural voice."""
    try:
        found = await anyio.to_thread.run_sync(find, voices)
    except VoiceNotFound as error:
        log.error("%s", error)
        raise ProviderError(PROVIDER, "unavailable", retryable=False) from None
    async with shared_helper.use() as helper:
        first = next(iter(found.values()))
        await helper.load(first)
        yield PiperTTS(found, first, helper)


@options(piper_tts)
def configure(
    tts: PiperTTS,
    /,
    voice: Annotated[
        str, Doc("The name of a voice, as in en_US-joe-medium; empty means the first. The action `voices` lists them.")
    ] = "",
    speed: Annotated[float, ge(0.5), le(2), Doc("How fast to speak; 1 is the normal speed of the voice.")] = 1.0,
    speaker: Annotated[str, Doc("The speaker, for a voice with several; empty means the first.")] = "",
) -> None:
    """Set the sound of the bot's voice, from the next answer on."""
    chosen = tts.voices.get(voice) if voice else next(iter(tts.voices.values()))
    if chosen is None:
        raise InvalidConfig([unknown("voice", voice, tts.voices, path="$.voice")])
    if speaker and speaker not in chosen.speakers:
        raise InvalidConfig([unknown(f"speaker of {chosen.name}", speaker, chosen.speakers, path="$.speaker")])
    tts.voice, tts.speed, tts.speaker = chosen, speed, chosen.speakers.get(speaker)


@frozen
class Voice:
    """A voice: the value for the option, its language, and its speakers if it has several."""

    voice: str
    language: str
    speakers: Sequence[str]


@action(piper_tts)
async def voices(tts: PiperTTS, /) -> list[Voice]:
    """List the voices."""
    return [Voice(each.name, each.language, list(each.speakers)) for each in tts.voices.values()]
