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

from ._answer import Answer
from ._helper import PROVIDER, Helper, shared_helper
from ._pieces import Pieces
from ._text import Part, parts
from ._voices import VoiceList

__all__ = ("EspeakTTS", "Manner", "open_speech")


@frozen
class Manner:
    """How to speak. `voice` is espeak's own name for it; `word_gap` is in units of 10 ms, `volume` in per cent."""

    voice: str = "gmw/en-US"
    words_per_minute: int = 165
    pitch: int = 50
    volume: int = 100
    word_gap: int = 0


@define(eq=False)
class EspeakTTS:
    """Speech of one session. `rate` is that of its audio in Hz, which is mono."""

    voices: VoiceList
    rate: int
    helper: Helper = field(repr=False)
    tasks: TaskGroup = field(repr=False)
    manner: Manner = Manner()
    _closed: bool = field(default=False, init=False)

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Stream the speech of each text as soon as it is there: each word, then the audio in which it begins.

        What is set while it speaks is heard the next time. Closing the iterator, or cancelling, stops the work.
        `ProviderError` when the helper process fails.
        """
        manner, pieces, characters = self.manner, Pieces(self.rate), 0
        async for text in request.text:
            characters += len(text)
            for part in parts(text):
                if not part.text.strip():
                    continue
                pieces.begin(part.text)
                with self._asked(part, manner) as answer:
                    while (frame := await answer.next()) is not None:
                        for piece in pieces.take(frame):
                            yield piece
                for piece in pieces.end():
                    yield piece
        yield Usage(characters=characters, model="espeak-ng")

    @contextmanager
    def _asked(self, part: Part, manner: Manner) -> Generator[Answer]:
        """The answer, as it comes from a task of the service; leaving stops the task, and espeak."""
        if self._closed:
            raise ProviderError(PROVIDER, "unavailable")
        answer = Answer()
        self.tasks.start_soon(self._ask, {**asdict(manner), "text": part.text, "pause": part.pause}, answer)
        try:
            yield answer
        finally:
            answer.scope.cancel()

    async def _ask(self, order: dict[str, Any], answer: Answer) -> None:
        """Have espeak work ahead, so that it is free for others however slowly this is played."""
        failure = None
        try:
            with answer.scope:
                await self.helper.say(order, answer.put)
        except ProviderError as error:
            failure = error
        finally:
            answer.end(failure)

    def close(self) -> None:
        """Stop what is being said; nothing can be said any more."""
        self._closed = True
        self.tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_speech() -> AsyncGenerator[EspeakTTS]:
    """Speech, as long as the block lasts. `ProviderError` if the helper process does not come up."""
    async with shared_helper() as helper:
        process = await helper.open()
        async with anyio.create_task_group() as tasks:
            tts = EspeakTTS(process.voices, process.rate, helper, tasks)
            try:
                yield tts
            finally:
                tts.close()
