"""What goes out to the client, in order: answers, each at most once, and messages that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ._codec import encode
from ._conversation import Conversation, Request
from ._signal import Signal
from .errors import RequestError

__all__ = ("Answers",)


class Answers:
    """The outgoing side of a session. It holds at most `limit` texts; `overflow` is called when it is fed more."""

    __slots__ = ("_conversation", "_limit", "_overflow", "_sendable", "_texts", "closed")

    def __init__(self, conversation: Conversation, limit: int, overflow: Callable[[], None]) -> None:
        self.closed = False
        self._conversation = conversation
        self._limit = limit
        self._overflow = overflow
        self._texts: list[str] = []
        self._sendable: Signal | None = None

    def put(self, text: str) -> None:
        """Have a text sent after all that were put before it."""
        self._texts.append(text)
        if self._sendable is not None:
            self._wake()
        if len(self._texts) > self._limit and not self.closed:
            self._texts.clear()
            self._overflow()

    def send(self, type: str, data: Any) -> None:
        """Send a message that nobody asked for. `TypeError` for what JSON cannot carry."""
        if not self.closed:
            self.put(encode(type, None, data))

    def answer(self, request: Request, text: str) -> None:
        """Answer a request, unless it was answered already."""
        if self._conversation.settle(request):
            self.put(text)

    def fail(self, request: Request, error: RequestError) -> None:
        """Answer a request with what went wrong, unless it was answered already."""
        self.answer(request, encode("error-response", request.id, error.to_json()))

    def refuse(self, id: str, error: RequestError) -> None:
        """Tell of the failure of a message that waits for no answer when all goes well."""
        self.put(encode("error-response", id, error.to_json()))

    def close(self) -> None:
        """Take nothing more; what was put is still given out."""
        self.closed = True
        self._wake()

    def drop(self) -> None:
        """Forget what was put: there is nobody to send it to."""
        self._texts.clear()

    def _wake(self) -> None:
        if self._sendable is not None:
            self._sendable.set()
            self._sendable = None

    async def take(self) -> Sequence[str]:
        """The texts to be sent next, in order; empty when the session has ended and all were taken."""
        while not self._texts:
            if self.closed:
                return ()
            self._sendable = Signal()
            await self._sendable.wait()
        batch, self._texts = self._texts, []
        return batch
