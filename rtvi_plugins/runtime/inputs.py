"""The inputs of a conversation loop: a bounded queue of what the user wrote or said, and of what the bot is to say."""

from __future__ import annotations

from collections.abc import Callable

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
    #: Called when the loop waits for an input, or will take no more.
    on_rest: Callable[[], None]
    #: False once the bot's function has returned, so that nobody takes inputs any more.
    open: bool = True
    #: The session ends once the inputs so far are processed.
    closing: bool = False
    #: The loop has taken an input, and has not asked for the next one yet.
    _in_progress: bool = False
    _waiting: list[Input] = field(factory=list[Input])
    _added: OneShotEvent | None = None

    def check(self, input: Input) -> None:
        """Raise if an input cannot be taken: `NoConversation`, `SessionClosed`, `Busy`, or `TypeError` for its text."""
        if not isinstance(input, RunLLM):
            check_json(input.text, "$.text")
        if not self.open:
            raise NoConversation("This bot holds no conversation, so nobody listens.")
        if self.closing:
            raise SessionClosed("The session is ending, so nothing more is said in it.")
        if len(self._waiting) >= self.limit:
            raise Busy("The conversation receives more than it can process; send again later.")

    def put(self, input: Input) -> None:
        """Add an input. One that asks for an answer at once is answered together with the texts that wait before it."""
        if isinstance(input, UserText) and input.run:
            self._waiting = [evolve(each, run=False) if isinstance(each, UserText) else each for each in self._waiting]
        self._waiting.append(input)
        if self._added is not None:
            self._added.set()

    def discard_speech(self) -> bool:
        """Remove each `Say` that waits and may be interrupted. Return whether there was one."""
        before = self._waiting
        self._waiting = [each for each in before if not isinstance(each, Say) or not each.interruptible]
        return len(self._waiting) < len(before)

    async def next(self) -> Input:
        """Return the next input, waiting for it if there is none."""
        self._in_progress = False
        while not self._waiting:
            self._added = OneShotEvent()
            self.on_rest()
            await self._added.wait()
        self._in_progress = True
        return self._waiting.pop(0)

    @property
    def wants_answer(self) -> bool:
        """Return whether an input waits that the LLM is to answer."""
        return any(isinstance(each, RunLLM) or (isinstance(each, UserText) and each.run) for each in self._waiting)

    def close(self) -> None:
        """Take no more inputs: the bot's function has returned, or the session has ended."""
        self.open = False
        self.on_rest()

    @property
    def is_idle(self) -> bool:
        """Return whether no input waits or is in progress."""
        return not (self.open and (self._waiting or self._in_progress))
