"""The function calls of an LLM before they are carried out: made fit to be sent, told apart, and checked."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from itertools import count
from typing import Any, Final, cast

from attrs import evolve

from ..errors import nearest
from ..kinds import ToolCall
from ..session import Session
from ..utils.json_values import json_problem, replace_surrogates, shorten
from .json_schema import check_schema
from .streams import NoPiece

__all__ = ("as_text", "problem_of", "sendable_call", "unique")

#: How much an LLM reads of what is wrong with a call, or of the names of its functions, in characters.
_SHOWN: Final = 2000
#: How much is kept of an id and of a name, in characters: both are sent to the client and to the vendor.
_LONGEST_NAME: Final = 256
_NOT_CALLED: Final = "The function was not called."


def sendable_call(call: ToolCall) -> ToolCall:
    """Return the call as it can be sent and remembered. Arguments that JSON cannot carry become its problem.

    `NoPiece` for arguments that are no JSON object, which is a mistake in the provider's code.
    """
    not_an_object = NoPiece(call, "an LLM's respond()", "a ToolCall whose arguments are a JSON object")
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


def unique(call: ToolCall, taken: Container[str]) -> ToolCall:
    """Return the call under an id that no other call of the conversation has; some vendors repeat theirs."""
    if call.id and call.id not in taken:
        return call
    free = (id for number in count(1) if (id := f"{call.id or 'call'}-{number}") not in taken)
    return evolve(call, id=next(free))


def as_text(result: Any) -> str:
    """Return a function's result as the LLM reads it: text as it is, everything else as JSON."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def problem_of(call: ToolCall, session: Session) -> str | None:
    """Return the sentence for the LLM that says why a call cannot be carried out, if it cannot."""
    return call.problem or _unknown(call.name, session) or _misfit(call, session)


def _unknown(name: str, session: Session) -> str | None:
    """Return the sentence for an LLM that calls a function that there is not, with the names that there are."""
    names = [each["name"] for each in session.functions]
    if name in names:
        return None
    if not names:
        return f"There is no function {shorten(name)!r}, and no other function. Answer in words."
    near = nearest(name, names)
    hint = f" Did you mean {near!r}?" if near is not None else ""
    return f"There is no function {shorten(name)!r}.{hint} The functions are: {shorten(', '.join(names), _SHOWN)}."


def _misfit(call: ToolCall, session: Session) -> str | None:
    """Return the sentence for an LLM whose arguments are not as a function of the client declares them.

    Actions of the bot's check their own.
    """
    declared = next(each for each in session.functions if each["name"] == call.name)
    if declared not in session.context.functions:
        return None
    problems = check_schema(declared.get("parameters"), call.arguments, "$.arguments")
    problems_in_words = "; ".join(f"{each.path}: {each.message}" for each in problems)
    return f"The arguments are not as they are declared: {problems_in_words}"[:_SHOWN] if problems else None
