"""Call the operation `listen` of an STT: two utterances, each followed by a pause that must be settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, Literal, get_args

import anyio
from attrs import define, field, frozen

from ..kinds import Audio, ListenPiece, ListenRequest, Pause, Settled, Transcript
from .operation import Operation
from .operations import speech
from .stepping import close

__all__ = ("LISTENING", "Conversation", "heard")

_UTTERANCES: Final = 2
#: How long the user is silent after an utterance was settled, in seconds.
_SILENCE: Final = 0.02


@define(eq=False)
class Conversation(AsyncIterator[Audio | Pause]):
    """The user's audio: an utterance, and the next one when the provider has settled it. Then nothing comes."""

    #: What is wrong with the answers so far, for the author.
    problem: str | None = field(default=None, init=False)
    settled: int = field(default=0, init=False)
    _user: Literal["speaks", "waits", "was answered"] = field(default="speaks", init=False)
    _audio: AsyncIterator[Audio] = field(factory=speech, init=False)
    _answered: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        """Return whether all utterances were settled."""
        return self.settled == _UTTERANCES

    async def __anext__(self) -> Audio | Pause:
        if self._user == "waits":
            await self._answered.wait()
        if self.is_over:
            await anyio.sleep_forever()
        if self._user == "was answered":
            await anyio.sleep(_SILENCE)
            self._user, self._audio, self._answered = "speaks", speech(), anyio.Event()
        try:
            return await anext(self._audio)
        except StopAsyncIteration:
            self._user = "waits"
            return Pause()

    def take(self, piece: object) -> None:
        """Note what the provider has yielded."""
        if isinstance(piece, Settled) and self._user == "waits":
            self.settled += 1
            self._user = "was answered"
            self._answered.set()
        elif isinstance(piece, Settled):
            self.problem = self.problem or "it yields Settled() without a Pause before it"
        elif isinstance(piece, Transcript) and self._user == "was answered":
            self.problem = self.problem or "a transcript comes after the Settled() of its speech"


async def heard(live: Any, conversation: Conversation) -> AsyncGenerator[Any]:
    """Yield what `listen` yields, until the last utterance was settled. Then close it."""
    stream: AsyncIterator[Any] = live.listen(ListenRequest(conversation))
    try:
        async for piece in stream:
            conversation.take(piece)
            yield piece
            if conversation.is_over:
                return
    finally:
        await close(stream)


@frozen
class _Listening(Operation):
    """The operation `listen`, as a stream that ends."""

    def start(self, live: Any, request: Any = None) -> AsyncGenerator[Any]:
        return heard(live, request or Conversation())


#: It is called if a live STT has it.
LISTENING: Final = _Listening("listen", get_args(ListenPiece), (), Conversation)
