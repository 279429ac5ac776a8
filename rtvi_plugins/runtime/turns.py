"""What a conversation loop stands on: its inputs and its turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import final

import anyio
from attrs import define, evolve, field

from ..context import Context, Message
from ..errors import Busy, NoConversation, SessionClosed
from ..events import Event, Interrupted
from ..kinds import Audio
from ..limits import Limits
from ..session import Input, RunLLM, Say, Turn, UserText
from ..utils.json_values import check_json
from ..utils.signal import Signal
from .audio import AudioLink, Playback
from .services import OpenService

__all__ = ("Dialogue", "LiveTurn")


@final
class LiveTurn(Turn):
    """A turn that is being held, with the services as they were when it began."""

    def __init__(self, epoch: int, dialogue: Dialogue, live: Mapping[str, OpenService], interruptible: bool) -> None:
        self.epoch = epoch
        self.interruptible = interruptible
        self.live = live
        self.scope = anyio.CancelScope()
        self._dialogue = dialogue
        self._place = dialogue.context.take_place()
        self._interrupted = False
        self._playback = Playback(dialogue.audio) if dialogue.audio is not None else None

    @property
    def messages(self) -> Sequence[Message]:
        return self._dialogue.context.before(self._place)

    @property
    def superseded(self) -> bool:
        return not self._dialogue.context.holds(self._place)

    def remember(self, *messages: Message) -> None:
        if self._dialogue.context.insert(self._place, *messages):
            self._dialogue.tell(messages)

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def interrupt(self) -> None:
        """Cancel what is done within the turn, and be silent at once."""
        self._interrupted = True
        self.scope.cancel()
        self.end()

    # ---- audio -----------------------------------------------------------------------------------------------------

    def play(self, audio: Audio) -> None:
        self._heard_through().feed(audio)

    def flush(self) -> None:
        self._heard_through().flush()

    async def room(self) -> None:
        await self._heard_through().room()

    async def played(self) -> None:
        if self._playback is not None:
            await self._playback.played()

    @property
    def given(self) -> float:
        return self._playback.given if self._playback is not None else 0.0

    @property
    def heard(self) -> float:
        return self._playback.heard if self._playback is not None else 0.0

    def on_heard(self, callback: Callable[[float], None]) -> None:
        self._heard_through().on_heard = callback

    def end(self) -> None:
        """The turn is over: nothing of it is heard from now on."""
        if self._playback is not None:
            self._playback.close()

    def _heard_through(self) -> Playback:
        if self._playback is None:
            raise RuntimeError("This session has no audio; look at session.has_audio before playing any.")
        return self._playback


class _Inputs:
    """Not an async generator, which a loop that leaves it early would have to close."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    def __aiter__(self) -> AsyncIterator[Input]:
        return self

    async def __anext__(self) -> Input:
        return await self._dialogue.next_input()


@define(eq=False)
class Dialogue:
    """The conversation of one session, seen from the loop that holds it."""

    limits: Limits
    context: Context
    emit: Callable[[Event], None]
    #: Told of every message that enters the context, other than by replacing it.
    tell: Callable[[Sequence[Message]], None]
    #: Where audio goes, if the client's transport carries any.
    audio: AudioLink | None = None
    current: LiveTurn | None = None
    #: False once the bot's function has returned: then nobody reads the inputs any more.
    listens: bool = True
    #: The session ends once what was submitted so far is done.
    closing: bool = False
    #: An input was taken, and the next one was not asked for yet.
    _working: bool = False
    _inputs: list[Input] = field(factory=list[Input])
    _fed: Signal | None = None
    _quiet: anyio.Event | None = None
    _epoch: int = 0

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def submit(self, input: Input) -> None:
        """Feed the conversation. What the user writes to be answered interrupts what is being said."""
        if not isinstance(input, RunLLM):
            check_json(input.text, "$.text")
        if not self.listens:
            raise NoConversation("This bot holds no conversation, so nobody listens.")
        if self.closing:
            raise SessionClosed("The session is ending, so nothing more is said in it.")
        if len(self._inputs) >= self.limits.in_flight:
            raise Busy("The conversation is fed faster than it can follow; send again later.")
        if isinstance(input, UserText) and input.run:
            self.interrupt()
            # What was written just before, and is not answered yet, is answered together with it.
            self._inputs = [evolve(each, run=False) if isinstance(each, UserText) else each for each in self._inputs]
        self._inputs.append(input)
        if self._fed is not None:
            self._fed.set()

    def inputs(self) -> AsyncIterator[Input]:
        """What was fed, in order, for as long as anybody reads."""
        return _Inputs(self)

    async def next_input(self) -> Input:
        """The next of what was fed, waiting for it if need be."""
        self._working = False
        while not self._inputs:
            self._fed = Signal()
            self._rest()
            await self._fed.wait()
        self._working = True
        return self._inputs.pop(0)

    def stop_listening(self) -> None:
        """The bot's function has returned, so nobody reads the inputs any more."""
        self.listens = False
        self._rest()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being said, and nothing waits to be answered."""
        return self.current is None and not (self.listens and (self._inputs or self._working))

    async def idle(self) -> None:
        """Wait until nothing is being said, and nothing waits to be answered."""
        while not self.is_idle:
            if self._quiet is None or self._quiet.is_set():
                self._quiet = anyio.Event()
            await self._quiet.wait()

    def _rest(self) -> None:
        """Something has come to its end: those who wait for all of it look again."""
        if self._quiet is not None:
            self._quiet.set()

    # ---- turns -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(
        self, live: Callable[[], Mapping[str, OpenService]], edge: Callable[[], None], *, interruptible: bool
    ) -> AsyncGenerator[Turn]:
        """Hold a turn; `edge` is called on either side of it, and `live` tells who fills the services in it."""
        if self.current is not None:
            raise RuntimeError("session.turn() is held already; a session holds one turn at a time.")
        edge()
        self._epoch += 1
        turn = self.current = LiveTurn(self._epoch, self, live(), interruptible)
        try:
            with turn.scope:
                yield turn
        finally:
            turn.end()
            self.current = None
            edge()
            self._rest()

    def interrupt(self) -> bool:
        """Cut the turn short and drop each waiting `Say`, if they may be. Return whether a turn was cut short."""
        self._inputs = [each for each in self._inputs if not isinstance(each, Say) or not each.interruptible]
        if self.current is None or self.current.interrupted or not self.current.interruptible:
            return False
        self.emit(Interrupted())
        self.current.interrupt()
        return True
