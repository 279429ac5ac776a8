"""The provider `whisper` of kind `stt`: free dictation on this machine, without any network."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Literal

from attrs import define, field
from attrs.validators import max_len

from rtvi_plugins import Doc, ProviderError, options, service
from rtvi_plugins.errors import InvalidConfig, unknown
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, Usage

from ._features import RATE
from ._models import ModelNotFound
from ._recogniser import AUTO, NOTHING, Heard, Recogniser
from ._recognisers import Recognitions, shared_recognitions
from ._utterance import Utterance

__all__ = ("WhisperSTT", "configure", "whisper_stt")

log = logging.getLogger("rtvi_plugins.whisper")


@define(eq=False)
class WhisperSTT:
    """Recognises speech in 16 kHz mono audio, and several utterances at the same time."""

    recogniser: Recogniser
    _recognitions: Recognitions = field(repr=False)
    language: str = "en"
    interim: bool = True
    swear_words: bool = False
    prompt: str = ""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield what was heard so far while audio comes, and what was heard in all when it ends.

        Raise `ProviderError` if the audio is not 16 kHz mono. An utterance of more than 26 s is recognised in parts.
        """
        recognise = partial(
            self.recogniser.recognise, language=self.language, swear_words=self.swear_words, prompt=self.prompt
        )
        utterance, done, shown = Utterance(), NOTHING, ""
        async for audio in request.audio:
            utterance.add(_pcm(audio))
            if (beginning := utterance.cut()) is not None:
                done = _joined(done, await self._recognitions.final(partial(recognise, beginning, final=True)))
            elif self.interim and utterance.interim_due():
                so_far = await self._recognitions.interim(partial(recognise, bytes(utterance.pcm), final=False))
                heard = _joined(done, so_far) if so_far is not None else NOTHING
                if heard.text not in ("", shown):
                    shown = heard.text
                    yield Transcript(heard.text, final=False, language=heard.language)
        heard = _joined(done, await self._recognitions.final(partial(recognise, bytes(utterance.pcm), final=True)))
        yield Transcript(heard.text, final=True, language=heard.language)
        yield Usage(model=f"whisper {self.recogniser.name}")


def _joined(beginning: Heard, rest: Heard) -> Heard:
    return Heard(f"{beginning.text} {rest.text}".strip(), beginning.language or rest.language)


def _pcm(audio: Audio) -> bytes:
    if (audio.rate, audio.channels) != (RATE, 1):
        raise ProviderError("whisper", "bad-request")
    return audio.data


@service("stt", "whisper")
@asynccontextmanager
async def whisper_stt(
    model: Annotated[
        str,
        Doc(
            "The folder of a Whisper model for CTranslate2, the name of an installed package with one, or base or "
            "tiny.en. Empty means the best of these two that is installed."
        ),
    ] = "",
) -> AsyncGenerator[WhisperSTT]:
    """Recognises speech offline."""
    try:
        async with shared_recognitions(model) as (recogniser, recognitions):
            yield WhisperSTT(recogniser, recognitions)
    except ModelNotFound as error:
        log.error("%s", error)
        raise ProviderError("whisper", "unavailable", retryable=False) from None


@options(whisper_stt)
def configure(
    stt: WhisperSTT,
    /,
    language: Annotated[
        Literal["en", "de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "tr", "zh", "auto"] | str,
        Doc("The language that is spoken, as in en; auto detects it, often wrongly for short utterances."),
    ] = "en",
    interim: Annotated[bool, Doc("Whether to send interim transcripts while the user speaks.")] = True,
    swear_words: Annotated[bool, Doc("Whether to write swear words, which small models also hear by mistake.")] = False,
    prompt: Annotated[
        str,
        max_len(2000),
        Doc("A sentence with words of users, as in: A guest asks about rooms. They are then recognised more often."),
    ] = "",
) -> None:
    """Set the options of recognition, from the next utterance on."""
    known = [*stt.recogniser.languages, AUTO]
    if language not in known:
        raise InvalidConfig(
            [unknown(f"language of the model {stt.recogniser.name}", language, known, path="$.language")]
        )
    stt.language, stt.interim, stt.swear_words, stt.prompt = language, interim, swear_words, prompt
