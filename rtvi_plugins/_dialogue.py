"""What a conversation loop stands on: its inputs, its turns, and function calls to the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, final

import anyio
from attrs import define, evolve, field

from ._answers import Answers
from ._audio import AudioLink, Playback
from ._conversation import FunctionResult
from ._services import OpenService
from ._signal import Signal
from ._timers import Clock
from .context import Context, Message
from .errors import (
    Busy,
    FunctionCallFailed,
    NoConversation,
    Problem,
    RequestError,
    SessionClosed,
    UnknownFunctionCall,
)
from .events import Event, FunctionCallEnded, FunctionCallStarted, Interrupted
from .kinds import Audio
from .limits import Limits
from .session import Input, Say, Turn, UserText

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


@define(eq=False)
class _FunctionCall:
    """A function call that the client has not answered yet."""

    answered: Signal = field(factory=Signal)
    result: Any = None
    given_up: bool = False

    def give_up(self) -> None:
        self.given_up = True
        self.answered.set()


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

    answers: Answers
    limits: Limits
    clock: Clock
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
    _calls: dict[str, _FunctionCall] = field(factory=dict[str, _FunctionCall])
    _called: int = 0

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def submit(self, input: Input) -> None:
        """Feed the conversation. What the user writes to be answered interrupts what is being said."""
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
        """Cut the turn short, and forget what was still to be said, where that may be; whether a turn was cut short."""
        self._inputs = [each for each in self._inputs if not isinstance(each, Say) or not each.interruptible]
        if self.current is None or self.current.interrupted or not self.current.interruptible:
            return False
        self.emit(Interrupted())
        self.current.interrupt()
        return True

    # ---- function calls --------------------------------------------------------------------------------------------

    async def call_function(self, name: str, arguments: Mapping[str, Any], id: str | None) -> Any:
        """Ask the client, and wait for its result. A call is answered, or given up; never both, never twice."""
        self._called += 1
        id = id or f"call-{self._called}"
        if id in self._calls:
            raise FunctionCallFailed(f"The function call {id!r} is pending already.")
        call = self._calls[id] = _FunctionCall()
        timer = self.clock.call_at(self.clock.now() + self.limits.function_seconds, call.give_up)
        self.emit(FunctionCallStarted(id, name, arguments))
        done = False
        try:
            await call.answered.wait()
            done = not call.given_up
        finally:
            timer.cancel()
            self._calls.pop(id, None)
            self.emit(FunctionCallEnded(id, name, not done, call.result))
        if call.given_up:
            seconds = self.limits.function_seconds
            raise FunctionCallFailed(f"The client did not answer the call of {name!r} in {seconds:g} s.")
        return call.result

    async def carry_out(self, name: str, id: str | None, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run a function of the bot's own in place of asking the client, who is told of it."""
        self._called += 1
        id = id or f"call-{self._called}"
        scope, result, done = anyio.CancelScope(), None, False
        timer = self.clock.call_at(self.clock.now() + self.limits.function_seconds, scope.cancel)
        self.emit(FunctionCallStarted(id, name, {}, by_client=False))
        try:
            with scope:
                result = await function()
                done = True
        except RequestError as error:
            result, done = {"error": error.message}, True
            raise FunctionCallFailed(error.message) from None
        finally:
            timer.cancel()
            self.emit(FunctionCallEnded(id, name, not done, result))
        if not done:
            raise FunctionCallFailed(f"The function {name!r} took longer than {self.limits.function_seconds:g} s.")
        return result

    def take_result(self, told: FunctionResult) -> None:
        """A result came from the client."""
        call = self._calls.pop(told.call, None)
        if call is None:
            text = f"no function call {told.call[:80]!r} is pending: it was answered, or given up."
            return self.answers.refuse(told.id, UnknownFunctionCall([Problem("$.data.tool_call_id", text)]))
        call.result = told.result
        return call.answered.set()
