"""Results of functions that have outlived their turn: have the LLM report them, once, and show them where it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, field

from ..context import Message
from ..errors import RequestError
from ..session import RunLLM, Session

__all__ = ("LateResults", "moved_to_the_end")


@define(eq=False)
class LateResults:
    """The results that the LLM has not read, and the request that it report them.

    A function outlives its turn when the user interrupts the bot and the function goes on.
    """

    session: Session
    #: Whether the bot has no turn and the user has none: otherwise the LLM soon reads the results anyway.
    is_quiet: Callable[[], bool]
    _unread: list[str] = field(factory=list[str])
    #: The request while it waits in the session, and once the loop has taken it.
    _submitted: RunLLM | None = None
    _taken: RunLLM | None = None
    _speak: bool = True

    def add(self, call_id: str, *, speak: bool) -> None:
        """Take note of a result. `speak` says whether its report is spoken."""
        self._unread.append(call_id)
        self._speak = speak
        self.request_report()

    def mark_read(self) -> None:
        """Mark every result so far as read, because the LLM is asked now."""
        self._unread.clear()

    def request_report(self) -> None:
        """Have the LLM report what it has not read, unless it is asked for something else before."""
        if self._unread and self._submitted is None and self.is_quiet():
            request = RunLLM(self._speak)
            with suppress(RequestError):
                self.session.submit(request)
                self._submitted = request

    def is_obsolete(self, request: RunLLM) -> bool:
        """Return whether a request that the loop has taken is one for a report that the LLM has given already."""
        if request is not self._submitted:
            return False
        self._submitted, self._taken = None, request
        return not self._unread

    def reported_by(self, request: object) -> tuple[str, ...]:
        """Return the ids of the calls whose results the answer to this request is to report."""
        return tuple(self._unread) if request is self._taken else ()


def moved_to_the_end(messages: Sequence[Message], ids: Sequence[str]) -> list[Message]:
    """Return the messages with the calls of these ids, and their results, behind all others.

    In the context a late result stands beside its call, before what was said in the meantime. Moved to the end, it is
    the last thing that the LLM reads, so it is what the LLM answers.
    """
    kept: list[Message] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    for message in messages:
        if message["role"] == "tool" and message.get("tool_call_id") in ids:
            results.append(message)
        elif moved := [each for each in message.get("tool_calls", ()) if each.get("id") in ids]:
            calls += moved
            kept += _without(message, ids)
        else:
            kept.append(message)
    return [*kept, {"role": "assistant", "content": None, "tool_calls": calls}, *results] if calls else kept


def _without(message: Message, ids: Sequence[str]) -> list[Message]:
    """Return the message without its calls of these ids, if anything of it is left."""
    left = message.copy()
    if others := [each for each in message.get("tool_calls", ()) if each.get("id") not in ids]:
        left["tool_calls"] = others
        return [left]
    left.pop("tool_calls", None)
    return [left] if left["content"] else []
