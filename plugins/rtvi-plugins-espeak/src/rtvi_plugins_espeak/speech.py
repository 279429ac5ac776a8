"""`EspeakTTS`: text to speech by espeak-ng, one sentence at a time, with the times of its words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import asdict, define, field, frozen

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import TTSPiece, TTSRequest, Usage

from ._helper import PROVIDER, EspeakHelper, shared_helper
from ._pieces import Pieces
from ._replies import Replies
from ._text import Part, parts
from ._voices import VoiceList

__all__ = ("EspeakTTS", "VoiceParameters", "open_speech")


@frozen
class VoiceParameters:
    """The parameters of the voice. `voice` is espeak's name, `word_gap` is in units of 10 ms, `volume` in percent."""

    voice: str = "gmw/en-US"
    words_per_minute: int = 165
    pitch: int = 50
    volume: int = 100
    word_gap: int = 0


@define(eq=False)
class EspeakTTS:
    """Speech for one session. `rate` is that of its audio in Hz, which is mono."""

    voices: VoiceList
    rate: int
    helper: EspeakHelper = field(repr=False)
    tasks: TaskGroup = field(repr=False)
    parameters: VoiceParameters = VoiceParameters()
    _closed: bool = field(default=False, init=False)

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield the speech of each text as soon as it is made: each word, then the audio in which it begins.

        Parameters that change meanwhile apply to the next request. Closing the iterator, or cancelling, stops the work.
        Raise `ProviderError` if the helper process fails.
        """
        parameters, pieces, characters = self.parameters, Pieces(self.rate), 0
        async for text in request.text:
            characters += len(text)
            for part in parts(text):
                if not part.text.strip():
                    continue
                pieces.begin(part.text)
                with self._requested(part, parameters) as replies:
                    while (frame := await replies.next()) is not None:
                        for piece in pieces.add(frame):
                            yield piece
                for piece in pieces.end():
                    yield piece
        yield Usage(characters=characters, model="espeak-ng")

    @contextmanager
    def _requested(self, part: Part, parameters: VoiceParameters) -> Generator[Replies]:
        """Yield the replies to a request, which a task reads. Leaving stops the task, and espeak."""
        if self._closed:
            raise ProviderError(PROVIDER, "unavailable")
        replies = Replies()
        self.tasks.start_soon(self._request, {**asdict(parameters), "text": part.text, "pause": part.pause}, replies)
        try:
            yield replies
        finally:
            replies.scope.cancel()

    async def _request(self, request: dict[str, Any], replies: Replies) -> None:
        """Read the replies as fast as they come. So espeak can serve others, even if this audio is played slowly."""
        failure = None
        try:
            with replies.scope:
                await self.helper.speak(request, replies.put)
        except ProviderError as error:
            failure = error
        finally:
            replies.end(failure)

    def close(self) -> None:
        """End the task that reads, and refuse further requests."""
        self._closed = True
        self.tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_speech() -> AsyncGenerator[EspeakTTS]:
    """Yield speech for one session. Raise `ProviderError` if the helper process does not get ready."""
    async with shared_helper.use() as helper:
        installed = await helper.installed()
        async with anyio.create_task_group() as tasks:
            tts = EspeakTTS(installed.voices, installed.rate, helper, tasks)
            try:
                yield tts
            finally:
                tts.close()
