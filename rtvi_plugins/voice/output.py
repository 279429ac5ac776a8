"""The sentences of one completion: shown as they come, and spoken where the turn is spoken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio.lowlevel
from attrs import define, field

from ..events import BotOutput
from ..session import Session
from .completion import Completion
from .sentences import Sentences
from .streams import BATCH

__all__ = ("SentenceOutput",)

#: How long a sentence waits for the next word, which may show that it has not ended, in seconds.
_PAUSE: Final = 0.2


@define(eq=False)
class SentenceOutput:
    """Cuts the text of a completion into sentences, and shows and speaks each of them."""

    session: Session
    completion: Completion
    next_segment: Callable[[], int]
    _sentences: Sentences = field(factory=Sentences)

    async def feed(self, text: str) -> None:
        """Put out the sentences that this text completes. If the LLM then pauses, a finished one follows."""
        await self._put(self._sentences.feed(text))
        if self._sentences.waits:
            self._settle_after_a_pause()

    async def flush(self) -> None:
        """Put out the rest: the text has ended."""
        await self._put(self._sentences.flush())

    def settle(self) -> None:
        """Put out the sentence that waits for the next word, if one does."""
        for sentence in self._sentences.settle():
            self._put_one(sentence)

    def _settle_after_a_pause(self) -> None:
        length = len(self.completion.text)

        def check() -> None:
            if len(self.completion.text) == length and not self.completion.is_settled:
                self.settle()

        self.session.clock.call_after(_PAUSE, check)

    async def _put(self, sentences: Sequence[str]) -> None:
        for number, sentence in enumerate(sentences, 1):
            self._put_one(sentence)
            if number % BATCH == 0:
                await anyio.lowlevel.checkpoint()

    def _put_one(self, sentence: str) -> None:
        if self.completion.speech is not None:
            self.completion.speech.say(sentence)
        else:
            self.session.emit(BotOutput(sentence, self.next_segment()))
