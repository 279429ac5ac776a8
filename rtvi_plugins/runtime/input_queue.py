"""The inputs of a conversation loop that wait: what the user wrote or said, and what the bot is to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from attrs import define, evolve, field

from ..errors import Busy, NoConversation, SessionClosed
from ..session import Input, RunLLM, Say, UserText
from ..utils.json_values import check_json
from ..utils.waiting import OneShotEvent

__all__ = ("InputQueue",)


@define(eq=False)
class InputQueue:
    """The inputs of one session. One loop at a time may take them."""

    #: How many inputs may wait.
    limit: int
    #: Called when the loop asks for the next input, or will take no more.
    on_next: Callable[[], None]
    #: False once the bot's function has returned, so that nobody takes inputs any more.
    open: bool = True
    #: The session has ended, or ends once the inputs so far are processed.
    closing: bool = False
    #: The input that the loop has taken, until it asks for the next one.
    in_progress: Input | None = None
    #: The number of the input that was taken last.
    _input_number: int = 0
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
            raise SessionClosed("The session is ending or has ended, so nothing more is said in it.")
        if not self.open:
            raise NoConversation("This bot holds no conversation, so nobody listens.")
        if len(self._waiting_inputs) >= self.limit:
            raise Busy("The conversation receives more than it can process; send again later.")

    def put(self, input: Input) -> None:
        """Add an input. One that asks for an answer at once is answered together with the texts that wait before it."""
        if isinstance(input, UserText) and input.run:
            self._waiting_inputs = [
                (number, evolve(each, run=False) if isinstance(each, UserText) else each)
                for number, each in self._waiting_inputs
            ]
        self.added += 1
        self._waiting_inputs.append((self.added, input))
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
        while not self._waiting_inputs:
            self._input_arrived = OneShotEvent()
            await self._input_arrived.wait()
        self._input_number, input = self._waiting_inputs.pop(0)
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
        after = self._waiting_inputs[0][0] if self._waiting_inputs else self.added + 1
        first = after if self.in_progress is None else self._input_number
        return number < first

    @property
    def wants_answer(self) -> bool:
        """Return whether an input waits that the LLM is to answer."""
        return any(
            isinstance(each, RunLLM) or (isinstance(each, UserText) and each.run) for _, each in self._waiting_inputs
        )

    def close(self) -> None:
        """Take no more inputs: the bot's function has returned, or the session has ended."""
        self.open = False
        self.on_next()

    @property
    def is_idle(self) -> bool:
        return not (self.open and (self._waiting_inputs or self.in_progress is not None))
