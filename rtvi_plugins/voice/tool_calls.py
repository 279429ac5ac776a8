"""The function calls of an LLM: made fit to be sent, given ids of their own, checked, and carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Final, cast

import anyio
from attrs import evolve

from ..errors import FunctionCallFailed
from ..kinds import ToolCall
from ..session import FunctionCall, Session
from ..utils.diagnostics import nearest, shorten
from ..utils.json_values import json_problem, replace_surrogates
from .json_schema import check_schema
from .streams import InvalidPiece

__all__ = ("MOST_CALLS", "call_functions", "clean_call", "too_many_calls", "with_unique_id")

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
    return ToolCall(id, name, arguments, replace_surrogates(problem) if problem is not None else None)


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


# ---- carrying out ----------------------------------------------------------------------------------------------------


async def call_functions(
    session: Session, calls: Sequence[ToolCall], results: dict[str, str], on_late_result: Callable[[str], None]
) -> None:
    """Carry out all calls at once, and put each result, as the LLM reads it, under the id of its call.

    When this is cancelled, `results` holds what is known of each call. A call that goes on puts its result into the
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
    """Begin a call, or put down why it is not carried out."""
    try:
        if (problem := _problem_of(call, session)) is not None:
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


def _problem_of(call: ToolCall, session: Session) -> str | None:
    """Return the sentence that tells the LLM why a call cannot be carried out, if it cannot."""
    return call.problem or _unknown(call.name, session) or _misfit(call, session)


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
