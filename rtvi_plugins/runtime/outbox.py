"""What goes out to the client, in order: answers, each at most once, messages that nobody asked for, and audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import RequestError
from ..kinds import Audio
from ..limits import Limits
from ..protocol.codec import encode, encode_json
from ..protocol.protocol import RTVIProtocol
from ..protocol.requests import Request
from ..utils.json_values import clip
from ..utils.signal import Signal

__all__ = ("Answers",)

#: Characters of an error's sentence, where the error cannot be sent as it is.
_LONGEST_SENTENCE = 2000


class Answers:
    """The outgoing side of a session. `overflow` is called, once, when more waits to be sent than the limits allow."""

    __slots__ = (
        "_limits",
        "_overflow",
        "_overflowed",
        "_protocol",
        "_sendable",
        "_size",
        "_waiting",
        "_watched",
        "closed",
        "on_sendable",
    )

    def __init__(self, protocol: RTVIProtocol, limits: Limits, overflow: Callable[[], None]) -> None:
        self.closed = False
        self._protocol = protocol
        self._limits = limits
        self._size = 0
        self._overflowed = False
        self._overflow = overflow
        self._waiting: list[str | Audio] = []
        self._sendable: Signal | None = None
        #: Called when there is something to take, or nothing will come any more: once after each `take_now`.
        self.on_sendable: Callable[[], None] | None = None
        self._watched = True

    def put(self, text: str) -> None:
        """Have a text sent after all that was put before it."""
        self._waiting.append(text)
        self._added(len(text))

    def put_audio(self, audio: Audio) -> None:
        """Have a frame of audio sent after all that was put before it."""
        self._waiting.append(audio)
        self._added(len(audio.data))

    def _added(self, size: int) -> None:
        self._size += size
        self._wake()
        # What waited before counts: a long message must not end the session of a client that reads.
        too_much = len(self._waiting) > self._limits.outbox or self._size - size > self._limits.outbox_size
        if too_much and not self._overflowed:
            self._overflowed = True
            self.drop()
            self._overflow()

    def send(self, type: str, data: Any) -> None:
        """Send a message that nobody asked for.

        `TypeError` for what JSON cannot carry, `ValueError` for a message that is longer than `Limits.outbox_size`.
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
        """Answer a request with what went wrong, unless it was answered already."""
        self.answer(request, encode("error-response", request.id, self.sendable_form(error)))

    def refuse(self, id: str, error: RequestError) -> None:
        """Tell of the failure of a message that waits for no answer when all goes well.

        Where a request waits under the same id, the id is left to that request's answer.
        """
        if id in self._protocol.requests.pending:
            return
        self.put(encode("error-response", id, self.sendable_form(error)))

    def tell(self, error: RequestError, *, fatal: bool) -> None:
        """Tell of what went wrong where no request waits to be answered; `fatal` is the end of the session."""
        form = self.sendable_form(error)
        self.send("error", {"message": form["error"], "fatal": fatal, **form})

    def sendable_form(self, error: RequestError) -> dict[str, Any]:
        """The JSON form of an error, which may be an author's: of one that cannot be sent, its sentence alone."""
        form = error.to_json()
        try:
            if len(encode_json(form)) <= self._limits.outbox_size // 2:
                return form
        except TypeError:
            pass
        return RequestError(clip(str(error.message), _LONGEST_SENTENCE)).to_json()

    def close(self) -> None:
        """Take nothing more; what was put is still given out."""
        self.closed = True
        self._wake()

    def drop(self) -> None:
        """Forget what was put: there is nobody to send it to."""
        self._waiting.clear()
        self._size = 0

    def take_back_audio(self) -> int:
        """Forget the frames of audio that are still waiting; returns how many there were."""
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
        """What is to be sent next, in order; empty when the session has ended and all was taken."""
        while not self._waiting:
            if self.closed:
                return ()
            self._sendable = Signal()
            await self._sendable.wait()
        return self.take_now()

    def take_now(self) -> Sequence[str | Audio]:
        """Return what is to be sent, in order; empty when there is nothing."""
        self._watched = True
        batch, self._waiting, self._size = self._waiting, [], 0
        return batch
