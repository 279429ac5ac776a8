"""The functions that a client runs for the bot's LLM: each call once, until the bot cancels it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import SessionClosed
from ..utils.json_values import is_object

__all__ = ("FunctionImplementation", "Functions", "OtherFunctions")

#: Runs a function that the bot's LLM calls. The result is any JSON value.
FunctionImplementation: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Any]]"

#: The same for functions of any name; the name is the first argument.
OtherFunctions: TypeAlias = "Callable[[str, Mapping[str, Any]], Awaitable[Any]]"

#: The messages of both generations that ask for a call, and the field of the arguments in each.
_CALL, _OLD_CALL = "llm-function-call-in-progress", "llm-function-call"
_ARGUMENTS: Mapping[str, str] = {_CALL: "arguments", _OLD_CALL: "args"}


@define(eq=False)
class _Call:
    """A call that has begun. Newer bots report its end; until then no other call can have its id."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    is_ended_by_bot: bool
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)


@define(eq=False)
class Functions:
    """The functions of one client. `send` sends a message with this type and data."""

    tasks: TaskGroup
    send: Callable[[str, Any], Awaitable[None]]
    by_name: dict[str, FunctionImplementation] = field(factory=dict[str, FunctionImplementation])
    others: OtherFunctions | None = None
    _calls: dict[str, _Call] = field(factory=dict[str, _Call])

    def follow(self, type: str, data: Any) -> None:
        """Begin or end a call, if a message of the bot asks for it."""
        if not is_object(data) or not isinstance(id := data.get("tool_call_id"), str):
            return
        if type in _ARGUMENTS and id not in self._calls:
            name, arguments = str(data.get("function_name")), data.get(_ARGUMENTS[type])
            self._begin_call(_Call(id, name, arguments if is_object(arguments) else {}, type == _CALL))
        elif type == "llm-function-call-stopped" and id in self._calls:
            self._calls.pop(id).scope.cancel()

    def _begin_call(self, call: _Call) -> None:
        others = None if self.others is None else partial(self.others, call.name)
        implementation = self.by_name.get(call.name, others)
        if implementation is not None:
            self._calls[call.id] = call
            self.tasks.start_soon(self._run_function, call, implementation)

    async def _run_function(self, call: _Call, implementation: FunctionImplementation) -> None:
        with call.scope, suppress(SessionClosed):
            try:
                await self._send_result(call, await implementation(call.arguments))
            except SessionClosed:
                raise
            except Exception as error:  # of the function, or for a result that JSON cannot carry
                await self._send_result(call, {"error": f"the function failed: {type(error).__name__}"})
        if not call.is_ended_by_bot:
            self._calls.pop(call.id, None)

    async def _send_result(self, call: _Call, result: Any) -> None:
        names = {"function_name": call.name, "tool_call_id": call.id}
        await self.send("llm-function-call-result", {**names, "arguments": call.arguments, "result": result})
