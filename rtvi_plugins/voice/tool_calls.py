"""The function calls of an LLM: made fit to be sent, given ids of their own, checked, and run.

The LLM reports the result of a function that has outlived its turn once. It finds the result at the end of its request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final, cast

import anyio
from attrs import define, evolve, field, frozen

from ..context import Message
from ..errors import FunctionCallFailed, RequestError
from ..kinds import Thought, ToolCall
from ..session import FunctionCall, RunLLM, Session
from ..utils.error_texts import shorten
from ..utils.json_values import json_problem, replace_surrogates
from ..utils.names import nearest
from .json_schema import check_schema
from .provider_streams import InvalidPiece

__all__ = (
    "MOST_CALLS",
    "LateResults",
    "call_functions",
    "clean_call",
    "clean_thought",
    "moved_to_the_end",
    "too_many_calls",
    "with_unique_id",
)

# ---- calls ---------------------------------------------------------------------------------------------------------

#: How many functions one answer of an LLM may call.
MOST_CALLS: Final = 64

#: How much an LLM reads of what is wrong with a call, or of the names of its functions, in characters.
_SHOWN: Final = 2000

#: How much is kept of an id and of a name, in characters: both are sent to the client and to the vendor.
_LONGEST_NAME: Final = 256

_NOT_CALLED: Final = "The function was not called."


def clean_call(call: ToolCall) -> ToolCall:
    """Return the call as it can be sent and remembered. Arguments that JSON cannot carry become its problem.

    Raise `InvalidPiece` for arguments that are not a JSON object, which is a mistake in the provider's code.
    """
    not_an_object = InvalidPiece(call, "an LLM's respond()", "a ToolCall whose arguments are a JSON object")
    if not isinstance(cast(object, call.arguments), Mapping):
        raise not_an_object
    arguments: dict[str, Any] = {}
    try:
        read, problem = json.loads(json.dumps(dict(call.arguments))), call.problem
        if (bad := json_problem(read, "$.arguments")) is not None:
            problem = f"The arguments hold a value that JSON cannot carry: {bad[0]}: {bad[1]}. {_NOT_CALLED}"
        else:
            arguments = read
    except (ValueError, RecursionError):
        problem = f"The arguments hold a value that JSON cannot carry. {_NOT_CALLED}"
    except TypeError:
        raise not_an_object from None
    id, name = replace_surrogates(call.id)[:_LONGEST_NAME], replace_surrogates(call.name)[:_LONGEST_NAME]
    return ToolCall(
        id,
        name,
        arguments,
        replace_surrogates(problem) if problem is not None else None,
        _clean_extra(call.extra, "a ToolCall whose extra is a JSON object"),
    )


def clean_thought(thought: Thought) -> Thought:
    """Return the thought as it can be remembered. Raise `InvalidPiece` if its extra is not a JSON object."""
    return Thought(
        replace_surrogates(thought.text), _clean_extra(thought.extra, "a Thought whose extra is a JSON object")
    )


def _clean_extra(extra: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    try:
        read = json.loads(json.dumps(dict(extra)))
    except (TypeError, ValueError, RecursionError):
        raise InvalidPiece(extra, "an LLM's respond()", wanted) from None
    if json_problem(read, "$.extra") is not None:
        raise InvalidPiece(extra, "an LLM's respond()", wanted)
    return cast("dict[str, Any]", read)


def with_unique_id(call: ToolCall, taken: Container[str]) -> ToolCall:
    """Return the call with an id that no other call of the conversation has; some vendors repeat theirs."""
    if call.id and call.id not in taken:
        return call
    free = (id for number in count(1) if (id := f"{call.id or 'call'}-{number}") not in taken)
    return evolve(call, id=next(free))


def too_many_calls(call: ToolCall) -> ToolCall:
    """Return the call without arguments, and with a problem for the LLM to read."""
    problem = f"At most {MOST_CALLS} functions can be called at once. This call and all after it were dropped."
    return evolve(call, arguments={}, problem=problem)


# ---- running ---------------------------------------------------------------------------------------------------------


async def call_functions(
    session: Session, calls: Sequence[ToolCall], results: dict[str, str], on_late_result: Callable[[str], None]
) -> None:
    """Run all calls at once, and put each result, as the LLM reads it, under the id of its call.

    When this is cancelled, `results` holds what is known of each call. A call that continues puts its result into the
    context later; then `on_late_result` is called with its id.
    """
    begun = [call for each in calls if (call := _begin(each, session, results)) is not None]
    try:
        async with anyio.create_task_group() as tasks:
            for call in begun:
                tasks.start_soon(_wait_for, call, results)
    finally:
        for call in begun:
            if call.id not in results:
                late = partial(_put_late_result, session, call.id, results, on_late_result)
                results[call.id] = _as_text(call.leave(late))


def _begin(call: ToolCall, session: Session, results: dict[str, str]) -> FunctionCall | None:
    """Begin a call, or note why it is not run."""
    try:
        if (problem := call.problem or _unknown(call.name, session) or _misfit(call, session)) is not None:
            raise FunctionCallFailed(problem)
        return session.begin_call(call.name, call.arguments, id=call.id)
    except FunctionCallFailed as error:
        results[call.id] = _as_text({"error": error.message})
        return None


async def _wait_for(call: FunctionCall, results: dict[str, str]) -> None:
    try:
        results[call.id] = _as_text(await call.result())
    except FunctionCallFailed as error:
        results[call.id] = _as_text({"error": error.message})


def _put_late_result(
    session: Session, id: str, results: dict[str, str], on_late_result: Callable[[str], None], result: Any
) -> None:
    before, results[id] = results[id], _as_text(result)
    session.context.settle(id, before, results[id])
    on_late_result(id)


def _as_text(result: Any) -> str:
    """Return a function's result as the LLM reads it: text as it is, everything else as JSON."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


# ---- checking --------------------------------------------------------------------------------------------------------


def _unknown(name: str, session: Session) -> str | None:
    """Return the sentence for an LLM that calls an unknown function, with the names of the known ones."""
    names = [each["name"] for each in session.functions]
    if name in names:
        return None
    if not names:
        return f"There is no function {shorten(name)!r}, and no other function. Answer in words."
    near = nearest(name, names)
    hint = f" Did you mean {near!r}?" if near is not None else ""
    return f"There is no function {shorten(name)!r}.{hint} The functions are: {shorten(', '.join(names), _SHOWN)}."


def _misfit(call: ToolCall, session: Session) -> str | None:
    """Return the sentence for an LLM whose arguments do not fit the declaration of a client's function.

    The bot's own actions check theirs.
    """
    declared = next(each for each in session.functions if each["name"] == call.name)
    if declared not in session.context.functions:
        return None
    problems = check_schema(declared.get("parameters"), call.arguments, "$.arguments")
    problems_in_words = "; ".join(f"{each.path}: {each.message}" for each in problems)
    return f"The arguments are not as they are declared: {problems_in_words}"[:_SHOWN] if problems else None


@frozen
class ReportRequest(RunLLM):
    """A request to report late results. The loop must see it, so it is not answered together with another one."""


@define(eq=False)
class LateResults:
    """The results that the LLM has not read, and the request that it report them.

    A function outlives its turn when the user interrupts the bot and the function continues.
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
        """Note a result. `speak` says whether its report is spoken."""
        self._unread.append(call_id)
        self._speak = speak
        self.request_report()

    def mark_read(self) -> None:
        """Mark all results as read, because the LLM is asked now."""
        self._unread.clear()

    def request_report(self) -> None:
        """Ask the LLM to report what it has not read, unless it is asked for something else before."""
        if self._unread and self._submitted is None and self.is_quiet():
            request = ReportRequest(self._speak)
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

    In the context, a late result comes right after its call, before what was said in the meantime. At the end, it is
    the last thing that the LLM reads, so the LLM answers it.
    """
    unmoved: list[Message] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    for message in messages:
        if message["role"] == "tool" and message.get("tool_call_id") in ids:
            results.append(message)
        elif moved := [each for each in message.get("tool_calls", ()) if each.get("id") in ids]:
            calls += moved
            unmoved += _without(message, ids)
        else:
            unmoved.append(message)
    return [*unmoved, {"role": "assistant", "content": None, "tool_calls": calls}, *results] if calls else unmoved


def _without(message: Message, ids: Sequence[str]) -> list[Message]:
    """Return the message without its calls of these ids, if anything of it is left."""
    message_left = message.copy()
    if others := [each for each in message.get("tool_calls", ()) if each.get("id") not in ids]:
        message_left["tool_calls"] = others
        return [message_left]
    message_left.pop("tool_calls", None)
    return [message_left] if message_left["content"] else []
