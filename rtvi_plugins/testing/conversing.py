"""Call the operation `converse` of a speech-to-speech model: two texts, each of which asks for an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, get_args

import anyio
from attrs import define, field, frozen

from ..kinds import (
    AnswerEnded,
    Audio,
    Heard,
    SpeechInput,
    SpeechPiece,
    SpeechRequest,
    Text,
    ToolCall,
    Typed,
    Word,
)
from .operation import Operation
from .stepping import close

__all__ = ("CONVERSING", "Talk", "answered")

#: What the user writes.
_TEXTS: Final = ("Hello. Who are you?", "Say it again, please.")
#: How long the user waits after an answer, and how much of an answer they hear before they interrupt it, in seconds.
_SILENCE: Final = 0.02
_HEARD: Final = 0.01


@define(eq=False)
class Talk(AsyncIterator[SpeechInput]):
    """The user's side: a text, and the next one when the answer has ended. Then nothing comes.

    With `interrupts`, the user interrupts the first answer at its first audio.
    """

    interrupts: bool = False
    #: What is wrong with the answers so far, for the author.
    problem: str | None = field(default=None, init=False)
    #: How many answers have ended.
    answers: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)
    _hears: bool = field(default=False, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        """Return whether all answers have ended."""
        return self.answers == len(_TEXTS)

    async def __anext__(self) -> SpeechInput:
        while True:
            if self._asked == self.answers and not self.is_over:
                if self._asked:
                    await anyio.sleep(_SILENCE)
                self._asked += 1
                return Typed(_TEXTS[self._asked - 1])
            if self.interrupts and self._hears:
                self.interrupts = False
                return Heard(_HEARD, 0)
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self, piece: object) -> None:
        """Note what the provider has yielded."""
        expected = self._asked > self.answers
        if isinstance(piece, AnswerEnded) and expected:
            self.answers += 1
            self._changed.set()
        elif isinstance(piece, AnswerEnded):
            self.problem = self.problem or "it yields AnswerEnded() twice for an answer"
        elif isinstance(piece, Audio | Text | Word | ToolCall) and not expected:
            self.problem = self.problem or f"{type(piece).__name__} comes after the AnswerEnded() of its answer"
        elif isinstance(piece, Audio):
            self._hears = True
            self._changed.set()


async def answered(live: Any, talk: Talk) -> AsyncGenerator[Any]:
    """Yield what `converse` yields, until the last answer has ended. Then close it."""
    stream: AsyncIterator[Any] = live.converse(SpeechRequest(talk))
    try:
        async for piece in stream:
            talk.take(piece)
            yield piece
            if talk.is_over:
                return
    finally:
        await close(stream)


@frozen
class _Conversing(Operation):
    """The operation `converse`, as a stream that ends."""

    def start(self, live: Any, request: Any = None) -> AsyncGenerator[Any]:
        return answered(live, request or Talk())


CONVERSING: Final = _Conversing("converse", get_args(SpeechPiece), (Audio,), Talk)
