"""The outbox of a session: what is to be sent to the client, in order. Each request is answered once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import RequestError
from ..kinds import Audio
from ..limits import Limits
from ..protocol.codec import encode
from ..protocol.protocol import RTVIProtocol
from ..protocol.requests import Request
from ..utils.waiting import OneShotEvent
from .client_errors import error_json

__all__ = ("Outbox",)


class Outbox:
    """Texts and audio that wait to be sent. `overflow` is called once, when they exceed the limits."""

    __slots__ = (
        "_limits",
        "_overflow",
        "_overflowed",
        "_protocol",
        "_reported",
        "_sendable",
        "_size",
        "_waiting",
        "_watched",
        "closed",
        "on_sendable",
    )

    def __init__(
        self,
        protocol: RTVIProtocol,
        limits: Limits,
        overflow: Callable[[], None],
        reported: Callable[[str], None] = lambda code: None,
    ) -> None:
        self.closed = False
        self._protocol = protocol
        self._limits = limits
        self._size = 0
        self._overflowed = False
        self._overflow = overflow
        self._reported = reported
        self._waiting: list[str | Audio] = []
        self._sendable: OneShotEvent | None = None
        #: Called when there is something to take, and at the end; once after each `take_now`.
        self.on_sendable: Callable[[], None] | None = None
        self._watched = True

    def put(self, text: str) -> None:
        """Send a text after everything that was put before it."""
        self._waiting.append(text)
        self._added(len(text))

    def put_audio(self, audio: Audio) -> None:
        """Send a frame of audio after everything that was put before it."""
        self._waiting.append(audio)
        self._added(len(audio.data))

    def _added(self, size: int) -> None:
        self._size += size
        self._wake()
        # Only what waited before counts: a long message must not end the session of a client that reads.
        too_much = len(self._waiting) > self._limits.outbox or self._size - size > self._limits.outbox_size
        if too_much and not self._overflowed:
            self._overflowed = True
            self.drop()
            self._overflow()

    def send(self, type: str, data: Any) -> None:
        """Send a message that answers no request.

        Raise `TypeError` for data that JSON cannot carry, `ValueError` if it is longer than `Limits.outbox_size`.
        """
        if self.closed:
            return
        text, longest = encode(type, None, data), self._limits.outbox_size
        if len(text) > longest:
            raise ValueError(f"The message {type} is {len(text)} characters long; at most {longest} are sent.")
        self.put(text)

    def answer(self, request: Request, text: str) -> None:
        """Answer a request, unless it was answered already."""
        if self._protocol.requests.settle(request):
            self._protocol.rate.charge_answer(len(text))
            self.put(text)

    def fail(self, request: Request, error: RequestError) -> None:
        """Answer a request with an error, unless it was answered already."""
        self.answer(request, encode("error-response", request.id, self.sendable_form(error)))

    def refuse(self, id: str, error: RequestError) -> None:
        """Report the failure of a message that is not answered when it succeeds.

        If a request waits under the same id, that request alone is answered under it.
        """
        if id in self._protocol.requests.pending:
            return
        self.put(encode("error-response", id, self.sendable_form(error)))

    def report(self, error: RequestError, *, fatal: bool) -> None:
        """Report an error that answers no request. A `fatal` one is the end of the session."""
        form = self.sendable_form(error)
        self.send("error", {"message": form["error"], "fatal": fatal, **form})
        self._reported(error.code)

    def sendable_form(self, error: RequestError) -> dict[str, Any]:
        """Return an error as JSON. Of one that is too long or that JSON cannot carry, return the sentence alone."""
        return error_json(error, self._limits.outbox_size // 2)

    def close(self) -> None:
        """Accept nothing more. What waits can still be taken."""
        self.closed = True
        self._wake()

    def drop(self) -> None:
        """Discard everything: nobody is left to send it to."""
        self._waiting.clear()
        self._size = 0

    def discard_audio(self) -> int:
        """Discard the frames of audio that wait, and return their number."""
        texts = [each for each in self._waiting if isinstance(each, str)]
        dropped = len(self._waiting) - len(texts)
        self._waiting, self._size = list[str | Audio](texts), sum(map(len, texts))
        return dropped

    def _wake(self) -> None:
        if self._sendable is not None:
            self._sendable.set()
            self._sendable = None
        elif self._watched and self.on_sendable is not None:
            self._watched = False
            self.on_sendable()

    async def take(self) -> Sequence[str | Audio]:
        """Wait for what is to be sent next, and return it in order. Empty once the session has ended."""
        while not self._waiting:
            if self.closed:
                return ()
            self._sendable = OneShotEvent()
            await self._sendable.wait()
        return self.take_now()

    def take_now(self) -> Sequence[str | Audio]:
        """Return what is to be sent, in order; empty when there is nothing."""
        self._watched = True
        batch, self._waiting, self._size = self._waiting, [], 0
        return batch
