"""The running function calls of one session. The bot or its client runs them.

A call may outlive its turn. After a cancellation nobody knows how much of the work was done. So the bot's own functions
continue when the user interrupts, unless they are declared with `finish=False`; their results come later. If a call is
cancelled, the LLM reads what is known of its effect.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, final

import anyio
from attrs import define, field

from ..clock import Timer
from ..declare.specs import ActionSpec
from ..errors import ActionFailed, FunctionCallFailed, InvalidResult, ProviderFailed, RequestError, report
from ..events import FunctionCallEnded, FunctionCallStarted
from ..protocol.codec import encode_json
from ..session import FunctionCall
from ..utils.error_texts import shorten
from ..utils.json_values import check_json
from ..utils.plugin_calls import reraise_control_flow
from ..utils.waiting import OneShotEvent, cancellation_classes, clear_stray_cancellation
from .saving import Saver
from .session_core import SessionCore

__all__ = ("FunctionCalls",)

_UNCERTAIN = "It may or may not have taken effect. Find out before you call it again."
_CANCELLED = "The function was cancelled, because the user interrupted. Part of it may have taken effect."
_RUNNING = (
    "still running, although the user interrupted. Its result will replace this text. Do not call it again for this."
)
#: Failures of a function that had started, and whose author has not written what is known.
_HAD_BEGUN = (ActionFailed, InvalidResult, ProviderFailed)
#: How much of an author's sentence the LLM reads, in characters.
_LONGEST_SENTENCE = 2000


@define(eq=False)
class _Call(FunctionCall):
    """A call. It ends once: with a result, with a failure, or cancelled."""

    id: str
    name: str
    calls: FunctionCalls
    timer: Timer | None = None
    ended: bool = False
    value: Any = None
    failed: str | None = None
    #: What is written down of the call in a session that is saved.
    noted: Mapping[str, Any] = {}
    #: Called with the outcome, if it is kept.
    kept: Callable[[str], None] | None = None
    #: Called with the result if it comes after `leave`.
    then: Callable[[Any], None] | None = None
    _call_over: OneShotEvent = field(factory=OneShotEvent)

    async def result(self) -> Any:
        await self._call_over.wait()
        if self.failed is not None:
            raise FunctionCallFailed(self.failed)
        return self.value

    def end(self, value: Any = None, *, failed: str | None = None, cancelled: bool = False) -> None:
        """End the call, unless it has ended. A failure is the result that the LLM reads."""
        if self.ended:
            return
        self.ended, self.failed = True, failed
        self.value = {"error": failed} if failed is not None else value
        if self.timer is not None:
            self.timer.cancel()
        self.calls.ended(self)
        if self.kept is not None:
            self.kept("cancelled" if cancelled else "ok" if failed is None else "failed")
        self._call_over.set()
        self.calls.core.session.emit(FunctionCallEnded(self.id, self.name, cancelled, self.value))
        if self.then is not None and not cancelled:
            self.then(self.value)


@final
@define(eq=False)
class ClientCall(_Call):
    """A call that the client runs. It is cancelled when the turn is interrupted, or at its deadline."""

    def leave(self, then: Callable[[Any], None]) -> Any:
        self.end(failed=f"The user interrupted before the client had answered. {_UNCERTAIN}", cancelled=True)
        return self.value

    def expire(self, seconds: float) -> None:
        self.end(
            failed=f"The client did not answer the call of {self.name!r} in {seconds:g} s. {_UNCERTAIN}", cancelled=True
        )


@final
@define(eq=False)
class OwnCall(_Call):
    """A call that the bot runs, in a task of the session."""

    finish: bool = True
    #: Whether it can be cancelled. A thread cannot.
    stops: bool = True
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    #: The task in which it runs.
    task: int | None = None

    async def run(self, function: Callable[[], Awaitable[Any]]) -> None:
        self.task = anyio.get_current_task().id
        try:
            with self.scope:
                await self._run_function(function)
            self.end(cancelled=True)
        finally:
            if self.timer is not None:
                self.timer.cancel()
        await clear_stray_cancellation()

    async def _run_function(self, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.end(await function())
        except RequestError as error:
            sentence = shorten(error.message, _LONGEST_SENTENCE)
            self.end(failed=f"{sentence} {_UNCERTAIN}" if isinstance(error, _HAD_BEGUN) else sentence)
        except anyio.get_cancelled_exc_class():
            if cancellation_classes():
                raise
            self.end(failed=f"The function {self.name!r} was cancelled. {_UNCERTAIN}")  # by itself
        except BaseException as error:  # a mistake here must not end the session
            reraise_control_flow(error)
            report(f"the function {self.name!r}", error)
            self.end(failed=f"The function {self.name!r} failed. {_UNCERTAIN}")

    def leave(self, then: Callable[[Any], None]) -> Any:
        if not self.ended and not self.finish:
            self.scope.cancel()
            if not self.stops:
                self.end(failed=f"The user interrupted, but the function could not be stopped. {_UNCERTAIN}")
        if self.ended:
            return self.value
        self.then = then
        return {"status": _RUNNING} if self.finish else {"error": _CANCELLED}

    def expire(self, seconds: float) -> None:
        self.end(failed=f"The function {self.name!r} was not finished in {seconds:g} s. {_UNCERTAIN}")
        self.scope.cancel()


@define(eq=False)
class FunctionCalls:
    """The calls of one session that have not ended."""

    core: SessionCore
    #: The calls whose beginning is in the record of a session that is saved.
    _noted_calls: set[str] = field(factory=set[str])
    _running_calls: dict[str, _Call] = field(factory=dict[str, _Call])
    _call_count: int = 0

    def ask_client(self, name: str, arguments: Mapping[str, Any], id: str | None) -> FunctionCall:
        """Ask the client to run a function. Pass its answer to `answered`.

        Raise `TypeError` for arguments that JSON cannot carry, `FunctionCallFailed` for those that are too long.
        """
        check_json(dict(arguments), "$.arguments")
        call = ClientCall(self._call_id(id), name, self)
        call.noted = {"name": name, "arguments": dict(arguments)}
        self._announce(FunctionCallStarted(call.id, name, arguments))
        self._begin_call(call, arguments, self.core.shared.limits.function_seconds)
        if self.core.saver is not None:
            self._noted_calls.add(call.id)
            self.core.saver.note(f"call/{call.id}", call.noted)
        return call

    def run_action(
        self, action: ActionSpec, arguments: Mapping[str, Any], id: str | None, function: Callable[[], Awaitable[Any]]
    ) -> FunctionCall:
        """Run an action of the bot in a task of the session. The client is only informed.

        Raise `FunctionCallFailed` if the client is sent the arguments, and they are too long.
        """
        assert self.core.tasks is not None
        call = OwnCall(self._call_id(id), action.name, self, finish=action.finish, stops=action.is_async)
        self._announce(FunctionCallStarted(call.id, call.name, arguments, by_client=False))
        self._begin_call(call, arguments, min(self.core.shared.limits.function_seconds, action.deadline or math.inf))
        if self.core.saver is not None and not action.repeatable:
            call.noted = {"name": call.name, "arguments": dict(arguments)}
            self._noted_calls.add(call.id)
            function = partial(self._noted_first, self.core.saver, call, function)
        self.core.tasks.start_soon(call.run, function)
        return call

    async def _noted_first(self, saver: Saver, call: OwnCall, function: Callable[[], Awaitable[Any]]) -> Any:
        await saver.begin(f"call/{call.id}", encode_json(call.noted))
        return await function()

    def answered(self, id: str, result: Any) -> bool:
        """Take the client's answer to a call. Return whether such a call is running."""
        call = self._running_calls.get(id)
        if not isinstance(call, ClientCall):
            return False
        call.end(result)
        return True

    @property
    def runs_actions(self) -> bool:
        return any(isinstance(each, OwnCall) for each in self._running_calls.values())

    def is_awaited(self, task: int) -> bool:
        """Return whether a turn waits for the function that runs in this task."""
        calls = (each for each in self._running_calls.values() if isinstance(each, OwnCall))
        return any(each.task == task and each.then is None for each in calls)

    def ended(self, call: _Call) -> None:
        self._running_calls.pop(call.id, None)
        saver = self.core.saver
        if saver is not None and call.id in self._noted_calls and not saver.stopped:
            saver.note(f"call/{call.id}", {**call.noted, "result": call.value})

    def take_noted(self, id: str) -> bool:
        """Return whether a noted call has ended. If it has, forget the note."""
        if id not in self._noted_calls or id in self._running_calls:
            return False
        self._noted_calls.remove(id)
        return True

    def _call_id(self, id: str | None) -> str:
        self._call_count += 1
        id = id or f"call-{self._call_count}"
        if id in self._running_calls:
            raise FunctionCallFailed(f"The function call {id!r} is pending already.")
        most = self.core.shared.limits.in_flight
        if len(self._running_calls) >= most:
            raise FunctionCallFailed(f"{most} function calls are running. Call it again later.")
        return id

    def _announce(self, event: FunctionCallStarted) -> None:
        try:
            self.core.session.emit(event)
        except ValueError as error:
            raise FunctionCallFailed(f"The arguments are too long: {error}") from None

    def _begin_call(self, call: ClientCall | OwnCall, arguments: Mapping[str, Any], seconds: float) -> None:
        if self.core.history is not None:
            by: Literal["client", "bot"] = "client" if isinstance(call, ClientCall) else "bot"
            call.kept = self.core.history.function(call.name, arguments, by)
        self._running_calls[call.id] = call
        call.timer = self.core.shared.clock.call_after(seconds, lambda: call.expire(seconds))
