"""The turns of one session: one at a time, each with the services that were there when it began.

Inputs wait for the conversation loop in a queue: what the user wrote or said, and what the bot is to say.

The module has more than 300 lines because waiting for speech to end depends on both the turn and the queue.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeGuard, cast, final

import anyio
from attrs import define, evolve, field

from ..context import Context, Message
from ..errors import Busy, NoConversation, SessionClosed
from ..events import BotTurnEnded, Event, Interrupted
from ..session import Input, RunLLM, Say, Turn, UserText
from ..utils.json_values import check_json
from ..utils.waiting import Condition, OneShotEvent
from .playback import AudioOutput, LivePlayback
from .services import OpenService

__all__ = ("InputQueue", "LiveTurn", "Turns")


@define(eq=False)
class InputQueue:
    """The inputs of one session. One loop at a time may take them."""

    #: How many inputs may wait.
    limit: int
    #: Called when the loop asks for the next input, or will take no more.
    on_next: Callable[[], None]
    #: False once the bot's function has returned, and inputs are no longer taken.
    open: bool = True
    #: The session has ended, or ends once its inputs are processed.
    closing: bool = False
    #: The input that the loop has taken, until it asks for the next one.
    in_progress: Input | None = None
    #: The number of the input that was taken last, and may be in progress.
    last_taken: int = 0
    #: Nobody would hear the bot, so the inputs wait.
    held: bool = False
    #: How many inputs were added. It is also the number of the last one; the first input is number 1.
    added: int = 0
    #: The inputs that wait, each with its number.
    _waiting_inputs: list[tuple[int, Input]] = field(factory=list[tuple[int, Input]])
    _input_arrived: OneShotEvent | None = None

    def check(self, input: Input) -> None:
        """Raise if an input cannot be taken: `TypeError`, `SessionClosed`, `NoConversation` or `Busy`."""
        given = cast(object, input)  # also from authors without a type checker
        if not isinstance(given, UserText | RunLLM | Say):
            found = type(given).__name__
            raise TypeError(f"An input is a Say, a UserText or a RunLLM, not a {found}. Write submit(Say(…)).")
        if not isinstance(input, RunLLM):
            check_json(input.text, "$.text")
        if self.closing:
            raise SessionClosed("The session is ending or has ended, so it accepts no more input.")
        if not self.open:
            raise NoConversation("This bot has no conversation, so it cannot speak or answer.")
        if len(self._waiting_inputs) >= self.limit:
            raise Busy("The conversation receives more than it can process; send again later.")

    def put(self, input: Input) -> None:
        """Add an input. One that asks for an answer at once is answered together with what waits before it."""
        if _is_plain_run(input) and self._will_answer(input):
            return
        self.added += 1
        number = self.added
        if isinstance(input, UserText) and input.run:
            # Whoever waits for one of these requests waits for the answer to the text: it has the number of the first.
            merged = self._requests_at_the_end(input.speak)
            number = min((number, *merged))
            self._waiting_inputs = [
                (number, evolve(each, run=False) if isinstance(each, UserText) else each)
                for number, each in self._waiting_inputs
                if number not in merged
            ]
        self._waiting_inputs.append((number, input))
        self._wake()

    def put_first(self, input: Input) -> None:
        """Add an input that comes before those that wait, also if there are too many."""
        self.added += 1
        self._waiting_inputs.insert(0, (self.added, input))
        self._wake()

    def release(self) -> None:
        """Give out inputs again."""
        self.held = False
        self._wake()

    def _wake(self) -> None:
        if self._input_arrived is not None:
            self._input_arrived.set()

    def discard_speech(self) -> list[int]:
        """Remove each `Say` that waits and may be interrupted. Return their numbers."""
        discarded = [number for number, each in self._waiting_inputs if isinstance(each, Say) and each.interruptible]
        self._waiting_inputs = [(number, each) for number, each in self._waiting_inputs if number not in discarded]
        return discarded

    async def next(self) -> Input:
        self.in_progress = None
        self.on_next()
        while self.held or not self._waiting_inputs:
            self._input_arrived = OneShotEvent()
            await self._input_arrived.wait()
        self.last_taken, input = self._waiting_inputs.pop(0)
        self.in_progress = input
        return input

    def restore(self, inputs: Sequence[Input]) -> None:
        """Wait with these inputs only: the session is restored."""
        self._waiting_inputs.clear()
        for each in inputs:
            self.put(each)

    @property
    def waiting(self) -> tuple[Input, ...]:
        return tuple(each for _, each in self._waiting_inputs)

    def is_done(self, number: int) -> bool:
        """Return whether each input up to this number was processed or discarded, or nobody takes inputs."""
        if not self.open:
            return True
        unprocessed = [number for number, _ in self._waiting_inputs]
        if self.in_progress is not None:
            unprocessed.append(self.last_taken)
        return number < min(unprocessed, default=self.added + 1)

    def _will_answer(self, request: RunLLM) -> bool:
        """Return whether an input waits whose answer is the answer to this request too.

        It must follow everything that is said, and every text that is not answered itself.
        """
        for each in reversed(self.waiting):
            if isinstance(each, Say) or (isinstance(each, UserText) and not each.run):
                return False
            if each.speak == request.speak and (_is_plain_run(each) or isinstance(each, UserText)):
                return True
        return False

    def _requests_at_the_end(self, speak: bool) -> set[int]:
        """Return the numbers of the plain requests for an answer, spoken or not, that wait after everything to say."""
        found = set[int]()
        for number, each in reversed(self._waiting_inputs):
            if isinstance(each, Say):
                break
            if _is_plain_run(each) and each.speak == speak:
                found.add(number)
        return found

    @property
    def wants_answer(self) -> bool:
        """Return whether an input waits that the LLM is to answer."""
        return any(_wants_answer(each) for each in self.waiting)

    def close(self) -> None:
        """Take no more inputs: the bot's function has returned, or the session has ended."""
        self.open = False
        self.on_next()

    @property
    def is_idle(self) -> bool:
        return not (self.open and (self._waiting_inputs or self.in_progress is not None))


def _wants_answer(input: Input) -> bool:
    return isinstance(input, RunLLM) or (isinstance(input, UserText) and input.run)


def _is_plain_run(input: Input) -> TypeGuard[RunLLM]:
    """Return whether an input asks for an answer to the context. A subclass asks for an answer of its own."""
    return type(input) is RunLLM


@final
class LiveTurn(LivePlayback, Turn):
    """A turn as it runs."""

    def __init__(
        self,
        output: AudioOutput | None,
        number: int,
        context: Context,
        live: Mapping[str, OpenService],
        on_message: Callable[[Sequence[Message]], None],
        *,
        interruptible: bool,
    ) -> None:
        super().__init__(output)
        self.number = number
        self.live = live
        self.interruptible = interruptible
        self.scope = anyio.CancelScope()
        self._context = context
        self._insertion_point = context.reserve()
        self._on_message = on_message
        self._interrupted = False

    @property
    def messages(self) -> Sequence[Message]:
        return self._context.before(self._insertion_point)

    @property
    def superseded(self) -> bool:
        return not self._context.is_current(self._insertion_point)

    def remember(self, *messages: Message) -> None:
        if self._context.insert(self._insertion_point, *messages):
            self._on_message(messages)

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def interrupt(self) -> None:
        """Cancel the body of the turn, and stop its playback."""
        self._interrupted = True
        self.scope.cancel()
        self.close()


@define(eq=False)
class _Speech:
    """What a task waits for in `Turns.spoken`: the turn that ran when it asked, and the inputs at that moment.

    If there is neither, it waits for the next turn. Later inputs change nothing, also if they arrive before the task
    runs again.
    """

    turn: LiveTurn | None
    #: The number of the last input that belongs to it.
    last_input: int
    #: Whether nothing ran or waited when the task asked.
    was_silent: bool
    over: anyio.Event = field(factory=anyio.Event)
    #: Whether a turn has ended since, or a part of this speech was interrupted.
    happened: bool = False
    heard: bool = True

    def cut(self) -> None:
        self.happened, self.heard = True, False


class Turns:
    """The turns and the inputs of one session.

    `on_message` is called with the messages that a turn adds to the context.
    """

    def __init__(
        self,
        context: Context,
        most_inputs: int,
        emit: Callable[[Event], None],
        on_message: Callable[[Sequence[Message]], None],
    ) -> None:
        self.inputs = InputQueue(most_inputs, on_next=self._note_rest)
        self.current: LiveTurn | None = None
        #: The output of the client's transport, if it carries audio.
        self.audio: AudioOutput | None = None
        #: What the bot says or answers again when the client is back: the connection was lost during its turn.
        self.cut_short: Input | None = None
        #: The number of the input whose turn was cut short last.
        self._last_cut = 0
        #: Called when an input arrives, when a turn has ended, and when the loop asks for the next input.
        self.on_change: Callable[[], None] | None = None
        self._context = context
        self._emit = emit
        self._on_message = on_message
        self._turn_count = 0
        self._idle = Condition(lambda: self.is_idle)
        self._is_detached = False
        self._can_begin = Condition(lambda: self.current is None and not self._nobody_hears)
        #: How many turns wait for the client, or had to. Until they have ended, others wait for them too.
        self._in_line = 0
        self._awaited_speeches: list[_Speech] = []

    def submit(self, input: Input) -> None:
        """Add an input. A text that the user wrote to be answered at once interrupts the turn."""
        self.inputs.check(input)
        if isinstance(input, UserText):
            self._context.require_space()
            if input.run:
                self.interrupt()
        self.inputs.put(input)
        self._note_change()

    @asynccontextmanager
    async def turn(
        self, live: Callable[[], Mapping[str, OpenService]], boundary: Callable[[], None], *, interruptible: bool
    ) -> AsyncGenerator[Turn]:
        """Hold a turn. `boundary` is called before and after it; `live` returns the services for it.

        With audio, it begins only while a client is there to hear it. Turns that wait for the client follow each other,
        and others follow them.
        """
        waits = self._nobody_hears or self._in_line > 0
        if self.current is not None and not waits:
            raise RuntimeError("session.turn() is held already; a session holds one turn at a time.")
        self._in_line += waits
        try:
            if waits:
                await self._can_begin.wait()
            async with self._begun_turn(live, boundary, interruptible) as turn:
                yield turn
        finally:
            self._in_line -= waits

    @asynccontextmanager
    async def _begun_turn(
        self, live: Callable[[], Mapping[str, OpenService]], boundary: Callable[[], None], interruptible: bool
    ) -> AsyncGenerator[Turn]:
        boundary()
        self._turn_count += 1
        turn = self.current = LiveTurn(
            self.audio, self._turn_count, self._context, live(), self._on_message, interruptible=interruptible
        )
        try:
            with turn.scope:
                yield turn
        finally:
            turn.close()
            self.current = None
            for each in self._awaited_speeches:
                each.happened = True
            self._emit(BotTurnEnded(turn.interrupted, handed_over=turn.handed_over and not turn.interrupted))
            boundary()
            self._note_rest()
            self._can_begin.notify()

    def interrupt(self) -> bool:
        """Interrupt the turn, and remove each waiting `Say`. Return whether a turn was interrupted."""
        if discarded := self.inputs.discard_speech():
            for each in self._awaited_speeches:
                if each.was_silent or min(discarded) <= each.last_input:
                    each.cut()
            self._note_rest()
        if self.current is None or self.current.interrupted or not self.current.interruptible:
            return False
        self._interrupt_turn(self.current)
        return True

    def _interrupt_turn(self, turn: LiveTurn) -> None:
        for each in self._awaited_speeches:
            each.cut()
        self._emit(Interrupted())
        turn.interrupt()

    def detach(self) -> None:
        """Stop speaking, also what nothing interrupts: the client's connection was lost. Texts to say wait."""
        self._is_detached = True
        self.inputs.held = self._nobody_hears
        if self.audio is not None and self.current is not None and not self.current.interrupted:
            self._interrupt_turn(self.current)
            cut_short, self._last_cut = self.inputs.in_progress, self.inputs.last_taken
            if isinstance(cut_short, Say):
                self.cut_short = cut_short
            else:  # a text is in the context already
                self.cut_short = RunLLM(cut_short is None or cut_short.speak)

    def attach(self) -> None:
        """Speak again, because the client is back. Begin with what was cut short."""
        self._is_detached = False
        cut_short, self.cut_short = self.cut_short, None
        accepts_inputs = self.inputs.open and not self.inputs.closing
        if cut_short is not None and accepts_inputs and (isinstance(cut_short, Say) or not self._wants_answer):
            self.inputs.put_first(cut_short)
            self._note_change()
        self.inputs.release()
        self._can_begin.notify()

    @property
    def _nobody_hears(self) -> bool:
        """Return whether the session has audio, and its client is away."""
        return self.audio is not None and self._is_detached

    @property
    def _wants_answer(self) -> bool:
        """Return whether an answer is asked for that has not begun."""
        inputs = self.inputs
        asked = inputs.in_progress if self.current is None and inputs.last_taken != self._last_cut else None
        return inputs.wants_answer or (asked is not None and _wants_answer(asked))

    @property
    def is_idle(self) -> bool:
        """Return whether no turn runs, and no input waits or is in progress."""
        return self.current is None and self.inputs.is_idle

    async def idle(self) -> None:
        await self._idle.wait()

    async def spoken(self) -> bool:
        """Wait until the turn and the present inputs, or else the next turn, are over. Return whether all was heard."""
        speech = _Speech(self.current, self.inputs.added, was_silent=self.is_idle)
        self._awaited_speeches.append(speech)
        try:
            await speech.over.wait()
        finally:
            if speech in self._awaited_speeches:
                self._awaited_speeches.remove(speech)
        return speech.heard

    def _note_change(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _note_rest(self) -> None:
        self._idle.notify()
        self._note_change()
        for each in [each for each in self._awaited_speeches if self._is_speech_over(each)]:
            self._awaited_speeches.remove(each)
            each.over.set()

    def _is_speech_over(self, speech: _Speech) -> bool:
        turn_is_over = speech.turn is None or speech.turn is not self.current
        return speech.happened and turn_is_over and self.inputs.is_done(speech.last_input)
