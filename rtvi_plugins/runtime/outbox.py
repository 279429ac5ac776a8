"""The outbox of a session: what is to be sent to the client, in order. Each request is answered once.

The last texts that have left are kept, for a client that comes back on another connection.

The module has more than 300 lines because everything that leaves a session leaves by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from ..errors import RequestError
from ..kinds import Audio
from ..limits import Limits
from ..protocol.codec import encode
from ..protocol.requests import Request
from ..protocol.state_machine import RTVIProtocol
from ..utils.waiting import OneShotEvent
from .client_errors import error_json
from .saving import Saver

__all__ = ("Outbox", "SentTexts", "texts_in")

# ---- texts that have left ------------------------------------------------------------------------------------------

#: How many texts are kept, and how many characters of them.
_MOST_TEXTS, _MOST_CHARACTERS = 512, 1_048_576


@define(eq=False, repr=False)
class SentTexts:
    """A list of texts in which a position is a number that stays: that of the first text is 0."""

    _texts: list[str] = field(factory=list[str])
    _size: int = 0
    #: The position of the first text that is kept.
    _first: int = 0

    @property
    def end(self) -> int:
        return self._first + len(self._texts)

    def append(self, text: str) -> None:
        """Add a text. The oldest ones are dropped if there are too many."""
        self._texts.append(text)
        self._size += len(text)
        drop = 0
        while self._size > _MOST_CHARACTERS or len(self._texts) - drop > _MOST_TEXTS:
            self._size -= len(self._texts[drop])
            drop += 1
        if drop:
            del self._texts[:drop]
            self._first += drop

    def cut(self, position: int) -> list[str]:
        """Remove the texts from a position on, and return those that are kept."""
        at = max(0, position - self._first)
        texts = self._texts[at:]
        del self._texts[at:]
        self._size -= sum(map(len, texts))
        return texts


# ---- the outbox ----------------------------------------------------------------------------------------------------


@define(eq=False, repr=False)  # the texts are a conversation
class Outbox:
    """Texts and audio that wait to be sent.

    In a session that is saved, a text waits until everything before it is written to the store. Between two
    connections, texts are kept for the next one, and audio is dropped.
    """

    _protocol: RTVIProtocol
    _limits: Limits
    #: Called once, when what waits exceeds the limits.
    _on_overflow: Callable[[], None]
    #: Called with each error that answers no request.
    _on_error: Callable[[RequestError], None] = lambda error: None
    #: Whether nothing more is accepted.
    closed: bool = False
    #: Whether nothing comes after what can be taken now. Before that, the last texts may still wait to be saved.
    finished: bool = False
    _outgoing: list[str | Audio] = field(factory=list["str | Audio"])
    #: The size of all that waits.
    _size: int = 0
    _overflowed: bool = False
    #: Set when there is something to take.
    _sendable: OneShotEvent | None = None
    #: Called when there is something to take, and at the end; once after each `take_now`.
    on_sendable: Callable[[], None] | None = None
    _calls_on_sendable: bool = True
    #: The number of the connection: nobody takes texts any more for one that has ended.
    _connection: int = 0
    is_detached: bool = False
    #: In a session that is saved: what waits for the next write and for the present one, and what has left.
    _saver: Saver | None = None
    _unsaved: list[str | Audio] = field(factory=list["str | Audio"])
    _saving: list[str | Audio] = field(factory=list["str | Audio"])
    _sent_texts: SentTexts = field(factory=SentTexts)
    _last_bot_ready: str = ""

    def put(self, text: str) -> None:
        """Send a text after everything that was put before it."""
        if self._saver is not None or (self.closed and not self.finished):
            return self._hold(text, len(text))
        self._outgoing.append(text)
        return self._added(len(text))

    def put_audio(self, audio: Audio) -> None:
        """Send a frame of audio after everything that was put before it."""
        if self.is_detached:
            return None
        if self._unsaved or self._saving:
            return self._hold(audio, len(audio.data))
        self._outgoing.append(audio)
        return self._added(len(audio.data))

    def _added(self, size: int) -> None:
        self._size += size
        self._wake()
        # A quick check first, because all messages come this way, and few are too many.
        if len(self._outgoing) > self._limits.outbox or self._size - size > self._limits.outbox_size:
            self._check_limits(size)

    def _hold(self, item: str | Audio, size: int) -> None:
        """Keep an item until everything before it is saved."""
        self._unsaved.append(item)
        self._size += size
        if self._saver is not None:
            self._saver.wake()
        self._check_limits(size)

    def _check_limits(self, size: int) -> None:
        """Discard everything if too much waits. `size` is that of the item that was added last."""
        count = len(self._outgoing) + len(self._saving) + len(self._unsaved)
        # Only what waited before counts: a long message must not end the session of a client that reads.
        too_much = count > self._limits.outbox or self._size - size > self._limits.outbox_size
        if too_much and not self._overflowed:
            self._overflowed = True
            self.drop()
            self._on_overflow()

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

    def answer(self, request: Request, text: str, outcome: str = "ok") -> None:
        """Answer a request, unless it was answered already. `outcome` is "ok", or the code of the error."""
        if self._protocol.requests.settle(request):
            if request.answered is not None:
                request.answered(outcome)
            self._protocol.rate.charge_answer(len(text))
            if self._saver is not None:
                self._saver.answered(request.id, text)
            self.put(text)

    def fail(self, request: Request, error: RequestError) -> None:
        self.answer(request, encode("error-response", request.id, self.sendable_form(error)), error.code)

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
        self._on_error(error)

    def sendable_form(self, error: RequestError) -> dict[str, Any]:
        """Return an error as JSON. Of one that is too long or that JSON cannot carry, return the sentence alone."""
        return error_json(error, self._limits.outbox_size // 2)

    def close(self) -> None:
        """Accept nothing more. Texts that are not saved can be taken after `finish`."""
        self.closed, self._saver = True, None

    def finish(self) -> None:
        """Let the last texts leave."""
        self.finished = True
        self._outgoing += self._take_unsaved()
        self._calls_on_sendable = True  # also for a transport that has not taken what came before
        self._wake()

    def drop(self) -> None:
        """Discard everything: nobody is left to send it to."""
        self._outgoing.clear()
        self._take_unsaved()
        self._size = 0

    def discard_audio(self) -> int:
        dropped = 0
        for items in (self._outgoing, self._saving, self._unsaved):
            count = len(items)
            items[:] = texts_in(items)
            dropped += count - len(items)
        self._size = _total_size((*self._outgoing, *self._saving, *self._unsaved))
        return dropped

    def _wake(self) -> None:
        if self._sendable is not None:
            self._sendable.set()
            self._sendable = None
        elif self._calls_on_sendable and self.on_sendable is not None:
            self._calls_on_sendable = False
            self.on_sendable()

    async def take(self) -> Sequence[str | Audio]:
        """Wait for what is to be sent next, and return it in order. Empty once the session has ended."""
        if self._outgoing:
            return self.take_now()
        connection = self._connection
        while not self._outgoing:
            if self.finished:
                return ()
            self._sendable = OneShotEvent()
            await self._sendable.wait()
            if connection != self._connection:
                return ()
        return self.take_now()

    def take_now(self) -> Sequence[str | Audio]:
        """Return what is to be sent, in order; empty when there is nothing."""
        self._calls_on_sendable = True
        batch, self._outgoing, self._size = self._outgoing, [], 0
        if self._saver is not None:
            self._size = _total_size((*self._saving, *self._unsaved))
        return batch

    # ---- sessions that are saved -----------------------------------------------------------------------------------

    def save_with(self, saver: Saver) -> None:
        """Let texts wait for this saver from now on."""
        self._saver = saver
        saver.on_write, saver.on_saved = self._begin_saving, self._release
        self._unsaved, self._outgoing = self._outgoing, []
        saver.wake()

    def _begin_saving(self) -> None:
        self._saving += self._unsaved
        self._unsaved = []

    def _take_unsaved(self) -> list[str | Audio]:
        items = [*self._saving, *self._unsaved]
        self._saving, self._unsaved = [], []
        return items

    def _release(self) -> None:
        """Let the texts leave that waited for the write."""
        batch, self._saving = self._saving, []
        for text in texts_in(batch):
            self._sent_texts.append(text)
        if self.is_detached:
            self._size -= _total_size(batch)
        elif batch:
            self._outgoing += batch
            self._wake()

    def detach(self) -> None:
        """Keep the texts for the next connection: this one has ended, or is replaced."""
        self.is_detached = True
        self._connection += 1
        self._outgoing.clear()
        self.discard_audio()
        self.on_sendable = None
        if self._sendable is not None:
            self._wake()

    def put_ready(self, ready: str) -> int:
        """Send a `bot-ready` to a client that was here all the time. Return the position of the text."""
        position = self._sent_texts.end + len(texts_in((*self._saving, *self._unsaved)))
        self._last_bot_ready = ready
        self.put(ready)
        return position

    def attach(self, ready: str, position: int | None, answers: Callable[[Sequence[str]], list[str]]) -> int:
        """Send a client that has come back `ready`, and what it has missed. Return the position of `ready`.

        `position` is that of the first text that it has not received; None if it does not want them. `answers` gets the
        missed texts that are kept, and returns more texts.
        """
        unsaved = self._take_unsaved()
        missed = [] if position is None else [*self._sent_texts.cut(position), *texts_in(unsaved)]
        missed = [each for each in missed if each != self._last_bot_ready]
        self.is_detached, self._last_bot_ready = False, ready
        self._unsaved = [ready, *missed, *answers(missed)]
        self._size = _total_size(self._unsaved)
        if self._saver is not None:
            self._saver.wake()
        return self._sent_texts.end


def _total_size(items: Sequence[str | Audio]) -> int:
    return sum(len(each) if isinstance(each, str) else len(each.data) for each in items)


def texts_in(items: Sequence[str | Audio]) -> list[str]:
    return [each for each in items if isinstance(each, str)]
