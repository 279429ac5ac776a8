"""The provider `pocketsphinx` of kind `stt`: free dictation, or the sentences of a grammar, without any network."""

from __future__ import annotations

import logging
import platform
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.to_thread
from attrs import define
from attrs.validators import ge, le, max_len

from rtvi_plugins import Doc, ProviderError, action, options, service
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, Usage

from ._dictionary import installed, knows, words
from ._grammar import Grammar, Heard, Recognisable, read_grammar
from ._pool import Pool, shared_pool

__all__ = ("PocketSphinxSTT", "can_recognise", "configure", "pocketsphinx_stt")

log = logging.getLogger("rtvi_plugins.pocketsphinx")

#: Seconds of audio between interim transcripts.
_BETWEEN_INTERIMS = 0.2

_RATE = 16000


@define(eq=False)
class PocketSphinxSTT:
    """Recognises English in 16 kHz mono audio, and several utterances at the same time.

    Without a pool, because PocketSphinx is not installed, every utterance fails.
    """

    _pool: Pool | None
    grammar: Grammar | None = None
    agreement: float = 0.6
    interim: bool = True
    #: The cepstral mean of this speaker. Workers cannot keep it, because they serve other speakers too.
    _cmn: str | None = None

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield interim transcripts while audio comes, and the final transcript when it ends.

        Raise `ProviderError` if the worker dies (a retry gets a new one), or if the audio is not 16 kHz mono.
        """
        if self._pool is None:
            raise ProviderError("pocketsphinx", "unavailable", retryable=False)
        grammar, agreement = self.grammar, self.agreement
        async with self._pool.worker() as worker:
            await worker.start(grammar.jsgf if grammar else None, self._cmn)
            last, waited = "", 0.0
            async for audio in request.audio:
                await worker.hear(_pcm(audio))
                waited += audio.seconds
                if self.interim and waited >= _BETWEEN_INTERIMS:
                    waited = 0.0
                    text = _so_far(await worker.so_far(), grammar, agreement)
                    if text not in ("", last):
                        last = text
                        yield Transcript(text, final=False, language="en")
            heard = await worker.end()
        self._cmn = heard.cmn if heard.dictation else self._cmn
        text = grammar.recognise(heard, agreement) if grammar else _plain(heard.dictation)
        yield Transcript(text, final=True, language="en")
        yield Usage(model="pocketsphinx en-us")


def _pcm(audio: Audio) -> bytes:
    if (audio.rate, audio.channels) != (_RATE, 1):
        raise ProviderError("pocketsphinx", "bad-request")
    return audio.data


def _so_far(heard: Heard, grammar: Grammar | None, agreement: float) -> str:
    return grammar.recognise_beginning(heard, agreement) if grammar else _plain(heard.dictation)


def _plain(text: str) -> str:
    """Return only the words, without marks for noises and for alternative pronunciations."""
    return " ".join(re.sub(r"<[^>]*>|\[[^\]]*\]|\+\+[^+]*\+\+|\(\d+\)", " ", text).split())


@service("stt", "pocketsphinx")
@asynccontextmanager
async def pocketsphinx_stt() -> AsyncGenerator[PocketSphinxSTT]:
    """Recognises English offline; for demos and tests."""
    if not installed():
        here = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {platform.system()} ({platform.machine()})"
        log.warning(
            "PocketSphinx is not installed; it may have no wheel for %s. Speech is not recognised; users can type.",
            here,
        )
        yield PocketSphinxSTT(None)
        return
    await anyio.to_thread.run_sync(words)  # the options are checked against them, without blocking
    async with shared_pool() as pool:
        yield PocketSphinxSTT(pool)


@options(pocketsphinx_stt)
def configure(
    stt: PocketSphinxSTT,
    /,
    grammar: Annotated[
        Sequence[str],
        max_len(500),
        Recognisable(),
        Doc("The only sentences to recognise; an empty list means free dictation. Anything else is ignored."),
    ] = (),
    agreement: Annotated[
        float,
        ge(0),
        le(1),
        Doc("How similar free dictation must be to a grammar sentence for it to be accepted (0 to 1)."),
    ] = 0.6,
    interim: Annotated[bool, Doc("Whether to send interim transcripts while the user speaks.")] = True,
) -> None:
    """Set the options of recognition, from the next utterance on."""
    stt.grammar, stt.agreement, stt.interim = read_grammar(grammar), agreement, interim


@action(pocketsphinx_stt)
async def can_recognise(stt: PocketSphinxSTT, /, words: Annotated[Sequence[str], max_len(1000)]) -> dict[str, bool]:
    """Report which of these words are in the pronunciation dictionary."""
    return {word: knows(word.lower().replace("’", "'")) for word in words}
