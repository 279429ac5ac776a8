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

#: Of audio, in seconds: at most five interim transcripts a second.
_BETWEEN_INTERIMS = 0.2

_RATE = 16000


@define(eq=False)
class PocketSphinxSTT:
    """Recognises English in 16 kHz mono audio. Several utterances at once are recognised side by side.

    Without a pool, where PocketSphinx cannot be installed, every utterance fails for good.
    """

    _pool: Pool | None
    grammar: Grammar | None = None
    agreement: float = 0.6
    interim: bool = True
    #: The mean of this speaker's cepstra, which workers that serve others in between cannot keep.
    _cmn: str | None = None

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Stream what was heard so far while audio comes, and what was heard in all when it ends.

        `ProviderError` when the worker dies (another try has a new one), or when the audio is not 16 kHz mono.
        """
        if self._pool is None:
            raise ProviderError("pocketsphinx", "unavailable", retryable=False)
        grammar, agreement = self.grammar, self.agreement
        async with self._pool.worker() as worker:
            await worker.start(grammar.jsgf if grammar else None, self._cmn)
            told, waited = "", 0.0
            async for audio in request.audio:
                await worker.hear(_pcm(audio))
                waited += audio.seconds
                if self.interim and waited >= _BETWEEN_INTERIMS:
                    waited = 0.0
                    text = _so_far(await worker.so_far(), grammar, agreement)
                    if text not in ("", told):
                        told = text
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
    """The words alone, without the marks of noises and of second ways to pronounce a word."""
    return " ".join(re.sub(r"<[^>]*>|\[[^\]]*\]|\+\+[^+]*\+\+|\(\d+\)", " ", text).split())


@service("stt", "pocketsphinx")
@asynccontextmanager
async def pocketsphinx_stt() -> AsyncGenerator[PocketSphinxSTT]:
    """Recognises English offline; demo grade."""
    if not installed():
        here = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {platform.system()} ({platform.machine()})"
        log.warning("PocketSphinx is not installed; it may have no wheel for %s. Nobody is heard, so type.", here)
        yield PocketSphinxSTT(None)
        return
    await anyio.to_thread.run_sync(words)  # options are checked against them, and must not block
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
        Doc("The only sentences to recognise; none for free dictation. What is none of them is heard as nothing."),
    ] = (),
    agreement: Annotated[
        float,
        ge(0),
        le(1),
        Doc("How alike a sentence of the grammar and free dictation must be where the sound alone is no proof."),
    ] = 0.6,
    interim: Annotated[bool, Doc("Whether to tell what was heard so far.")] = True,
) -> None:
    """What can be heard; from the next utterance on."""
    stt.grammar, stt.agreement, stt.interim = read_grammar(grammar), agreement, interim


@action(pocketsphinx_stt)
async def can_recognise(stt: PocketSphinxSTT, /, words: Annotated[Sequence[str], max_len(1000)]) -> dict[str, bool]:
    """Which of these words the pronunciation dictionary has."""
    return {word: knows(word.lower().replace("’", "'")) for word in words}
