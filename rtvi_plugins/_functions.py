"""Carry out the functions that a bot's LLM calls, on the client's side: each call once, until the bot gives it up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from .errors import SessionClosed
from .utils.json_values import is_object

__all__ = ("FunctionImplementation", "Functions", "OtherFunctions")

#: Carries out a function that the bot's LLM calls; its result is any JSON value.
FunctionImplementation: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Any]]"

#: The same for functions of any name, which it is given first.
OtherFunctions: TypeAlias = "Callable[[str, Mapping[str, Any]], Awaitable[Any]]"

#: The messages that ask for a call, of both generations, and where the arguments stand in each.
_CALL, _OLD_CALL = "llm-function-call-in-progress", "llm-function-call"
_ARGUMENTS: Mapping[str, str] = {_CALL: "arguments", _OLD_CALL: "args"}


@define(eq=False)
class _Call:
    """A call that was begun. New bots tell when it is over; until then its id is good for no other."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    is_ended_by_bot: bool
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)


@define(eq=False)
class Functions:
    """The functions of one client. `say` sends a message of a type with its data."""

    tasks: TaskGroup
    say: Callable[[str, Any], Awaitable[None]]
    by_name: dict[str, FunctionImplementation] = field(factory=dict[str, FunctionImplementation])
    others: OtherFunctions | None = None
    _calls: dict[str, _Call] = field(factory=dict[str, _Call])

    def follow(self, type: str, data: Any) -> None:
        """Begin or end a call, if that is what a message of the bot says."""
        if not is_object(data) or not isinstance(id := data.get("tool_call_id"), str):
            return
        if type in _ARGUMENTS and id not in self._calls:
            name, arguments = str(data.get("function_name")), data.get(_ARGUMENTS[type])
            self._begin(_Call(id, name, arguments if is_object(arguments) else {}, type == _CALL))
        elif type == "llm-function-call-stopped" and id in self._calls:
            self._calls.pop(id).scope.cancel()

    def _begin(self, call: _Call) -> None:
        others = None if self.others is None else partial(self.others, call.name)
        implementation = self.by_name.get(call.name, others)
        if implementation is not None:
            self._calls[call.id] = call
            self.tasks.start_soon(self._carry_out, call, implementation)

    async def _carry_out(self, call: _Call, implementation: FunctionImplementation) -> None:
        with call.scope, suppress(SessionClosed):
            try:
                await self._tell(call, await implementation(call.arguments))
            except SessionClosed:
                raise
            except Exception as error:  # the function's, or a TypeError for a result that JSON cannot carry
                await self._tell(call, {"error": f"the function failed: {type(error).__name__}"})
        if not call.is_ended_by_bot:
            self._calls.pop(call.id, None)

    async def _tell(self, call: _Call, result: Any) -> None:
        told = {"function_name": call.name, "tool_call_id": call.id, "arguments": call.arguments, "result": result}
        await self.say("llm-function-call-result", told)
