"""Run actions. Each request is answered, with the result or with an error, whatever the action's function does.

A `def` action runs in a thread. A long action is answered at once with the id of a background job, which sends messages
about its progress and its end.

The module has more than 300 lines because actions, their threads and their jobs end in the same ways.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from itertools import count
from threading import Lock
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from ..declare.specs import ActionSpec, BotService, Given, Injected, LifespanValue
from ..declare.to_json import RepeatedTooOften, to_checked_json, to_json
from ..declare.types import check
from ..errors import ActionFailed, Busy, Cancelled, InvalidResult, Problem, RequestError, report
from ..limits import Limits
from ..protocol.codec import encode_json
from ..protocol.offer import OfferedAction
from ..protocol.requests import CallAction
from ..protocol.state_machine import RTVIProtocol
from ..registry.hooks import Hooks
from ..session import Session
from ..utils.error_texts import unwrap_group, where
from ..utils.json_values import json_problem
from ..utils.plugin_calls import reraise_control_flow
from .client_errors import as_request_error
from .history import History
from .lifespans import OpenLifespans
from .outbox import Outbox
from .saving import Saver
from .services import Handle, OpenService
from .worker_tasks import Work, Workers

__all__ = ("Actions", "Threads", "action_threads")

# ---- threads -------------------------------------------------------------------------------------------------------

_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("threads for actions")


def action_threads() -> anyio.CapacityLimiter:
    """Return the limiter of the event loop for these threads. It limits nothing; it counts those that are waited for.

    The limit is that of `Threads`, which also counts threads that are no longer waited for.
    """
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(math.inf)
        _limiter.set(limiter)
    return limiter


@define(eq=False)
class Threads:
    """A bounded number of threads. A thread whose action ran into its deadline cannot be stopped, and still counts."""

    limit: int
    running: int = 0
    abandoned: int = 0
    _lock: Lock = field(factory=Lock)

    def take(self) -> bool:
        """Reserve a thread. Return False when all are in use."""
        with self._lock:
            free = self.running < self.limit
            self.running += free
            return free

    def give_back(self) -> None:
        """Release a thread. The thread calls this, or the caller if the thread did not start."""
        with self._lock:
            self.running -= 1

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call a function in a thread and return its result. On cancellation the thread is abandoned.

        Raise `Busy` when all threads are in use.
        """
        if not self.take():
            raise Busy(f"All {self.limit} threads for actions are in use; send again later.")

        begun = Lock()  # acquired by the thread when it starts, or by a cancellation before that

        def call() -> tuple[Any, BaseException | None]:
            if not begun.acquire(blocking=False):
                return None, None
            try:
                return function(), None
            except BaseException as error:  # an event loop cannot take every class of exception from a thread
                return None, error
            finally:
                self.give_back()

        try:
            result, raised = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=action_threads())
        except BaseException as error:
            if begun.acquire(blocking=False):  # the thread did not start
                self.give_back()
            elif isinstance(error, anyio.get_cancelled_exc_class()):
                self.abandoned += 1
            raise
        if raised is not None:
            raise raised
        return result


# ---- actions -------------------------------------------------------------------------------------------------------

log = logging.getLogger("rtvi_plugins")

T = TypeVar("T")

#: An attribute of an enum is slow to read.
_SERVICE, _SESSION = Given.SERVICE, Given.SESSION

#: The numbers of calls, for hooks.
_calls = count(1)

#: The id of the background job that runs in this context.
_running_job: ContextVar[str] = ContextVar("rtvi_plugins_job")


@define(eq=False)
class _Job:
    """A background job: a long action that runs, or waits to start."""

    action: OfferedAction
    work: Work


@define(eq=False)
class Actions:
    """The running actions of one session."""

    session: Session
    protocol: RTVIProtocol
    outbox: Outbox
    hooks: Hooks
    limits: Limits
    threads: Threads
    #: Finds the service of an action.
    find: Callable[[str, ActionSpec], OpenService]
    #: The services of the bot, as it receives them.
    handles: Mapping[str, Handle]
    lifespans: OpenLifespans
    #: In a session that is saved: writes down that an action begins which may not be repeated.
    saver: Saver | None = None
    #: Keeps what was called, if the operator wants it.
    history: History | None = None
    jobs: dict[str, _Job] = field(factory=dict[str, "_Job"])
    #: How many jobs there were.
    started: int = 0
    #: Called with the outcome of each job.
    _ended: dict[str, Callable[[str], None]] = field(factory=dict[str, "Callable[[str], None]"])
    _observed: bool = field(init=False)
    _workers: Workers = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._observed = self.hooks.is_implemented("action_started") or self.hooks.is_implemented("action_finished")

    def serve(self, workers: Workers) -> None:
        """Use these workers from now on: the session runs."""
        self._workers = workers

    def start(self, call: CallAction) -> None:
        """Start an action. A long one is answered at once."""
        kept = None if self.history is None else self.history.action(_name(call.action), call.arguments)
        if call.action.spec.long:
            self._start_job(call, kept)
        else:
            call.request.answered = kept
            call.request.work = self._workers.submit(partial(self._perform, call, self._service(call)))

    def _service(self, call: CallAction) -> OpenService | None:
        """Return the service of an action when the call arrives. It may be switched before the action starts."""
        return self.find(call.action.service, call.action.spec) if _SERVICE in call.action.spec.given else None

    async def _perform(self, call: CallAction, service: OpenService | None) -> None:
        request = call.request
        try:
            if self.saver is not None and not call.action.spec.repeatable:
                await self.saver.begin(f"begun/{request.id}", _name(call.action))
            carry = partial(self.protocol.result, request)
            text = await self._result(call.action, call.arguments, service, carry)
        except RequestError as error:
            self.outbox.fail(request, error)
        except anyio.get_cancelled_exc_class():
            self.outbox.fail(request, Cancelled("The action was cancelled."))
            raise
        else:
            self.outbox.answer(request, text)

    async def _result(
        self,
        action: OfferedAction,
        arguments: Mapping[str, Any],
        service: OpenService | None,
        carry: Callable[[Any], T],
    ) -> T:
        """Return what `carry` makes of the action's result in its JSON form. Every exception becomes a `RequestError`.

        `carry` raises `TypeError` for what JSON cannot carry, and `InvalidResult` for what is too long.
        """
        call = next(_calls)
        if self._observed:
            self._tell("action_started", action, arguments=arguments, call=call)
        try:
            carried = _carried(action, await self._run(action, arguments, service), carry)
        except anyio.get_cancelled_exc_class():
            self._tell("action_finished", action, error=Cancelled.code, call=call)
            raise
        except BaseException as raised:  # also SystemExit, or the panic of a library in Rust
            reraise_control_flow(raised)
            error = _as_request_error(action, raised)
            self._tell("action_finished", action, error=error.code, call=call)
            raise error from None
        if self._observed:
            self._tell("action_finished", action, error=None, call=call)
        return carried

    async def _run(self, action: OfferedAction, arguments: Mapping[str, Any], service: OpenService | None) -> Any:
        """Call the function of an action, on the event loop or in a thread."""
        spec = action.spec
        given = [self.session if each is _SESSION else self._other(each, service, spec) for each in spec.given]
        if spec.is_async:
            return await spec.function(*given, **arguments)
        return await self.threads.run(partial(spec.function, *given, **arguments))

    def _other(self, parameter: Injected, service: OpenService | None, spec: ActionSpec) -> Any:
        """Return a service, or the value of a lifespan."""
        if isinstance(parameter, BotService):
            return self.handles[parameter.name]
        if isinstance(parameter, LifespanValue):
            return self.lifespans.value(spec.function, parameter)
        return service and service.alive()

    def _sendable(self, result: Any) -> Any:
        """Return a result if it can be sent in a message. Raise `TypeError` or `InvalidResult` for any other."""
        size, longest = len(encode_json(result)), self.limits.outbox_size // 2
        if size > longest:
            raise InvalidResult(f"The result is {size} characters long; at most {longest} are sent.")
        return result

    def _tell(self, hook: str, action: OfferedAction, **facts: Any) -> None:
        self.hooks.notify(hook, session=self.session, service=action.service, action=action.spec.name, **facts)

    async def call(self, action: OfferedAction, sent: Mapping[str, Any]) -> Any:
        """Run an action that the bot's LLM calls. Return its result as JSON; raise `RequestError` if it fails."""
        arguments = action.binder.bind(dict(sent), "$.arguments")
        service = self.find(action.service, action.spec) if _SERVICE in action.spec.given else None
        return await self._result(action, arguments, service, self._sendable)

    # ---- long actions ----------------------------------------------------------------------------------------------

    def _start_job(self, call: CallAction, kept: Callable[[str], None] | None) -> None:
        if len(self.jobs) >= self.limits.jobs:
            call.request.answered = kept
            return self.outbox.fail(call.request, Busy(f"{self.limits.jobs} long actions are running; wait for one."))
        self.started += 1
        id = f"job-{self.started}"
        if kept is not None:
            self._ended[id] = kept
        if self.saver is not None:
            self.saver.note_text(f"job/{id}", _name(call.action))
            self.saver.note("jobs", self.started)
        self.outbox.answer(call.request, self.protocol.result(call.request, {"job": id}))
        self.jobs[id] = _Job(
            call.action, self._workers.submit(partial(self._perform_long, id, call, self._service(call)), later=True)
        )
        return None

    async def _perform_long(self, id: str, call: CallAction, service: OpenService | None) -> None:
        token = _running_job.set(id)
        end = _cancelled(call.action)
        try:
            if self.saver is not None:
                await self.saver.begin(f"job/{id}", _name(call.action))
            result = await self._result(call.action, call.arguments, service, self._sendable)
            end = {"status": "done", "result": result}
        except RequestError as error:
            end = {"status": "failed", **self.outbox.sendable_form(error)}
        finally:
            _running_job.reset(token)
            if self.jobs.pop(id, None) is not None:
                self._report(id, call.action, end)

    def _report(self, id: str, action: OfferedAction, more: Mapping[str, Any]) -> None:
        if more["status"] != "progress" and (ended := self._ended.pop(id, None)) is not None:
            ended("ok" if more["status"] == "done" else more.get("code", more["status"]))
        if self.saver is not None and id not in self.jobs:
            self.saver.end(f"job/{id}", always=True)
        self.outbox.send("server-message", {"type": "job", "job": id, "action": _name(action), **more})

    def progress(self, data: Any) -> None:
        """Send the progress of the background job that runs in this context.

        Raise `TypeError` for a value that JSON cannot carry, `ValueError` for one longer than `Limits.outbox_size`.
        """
        id = _running_job.get(None)
        if id is None or id not in self.jobs:
            raise RuntimeError("session.progress() reports on a long action: declare it @action(..., long=True).")
        self._report(id, self.jobs[id].action, {"status": "progress", "data": to_checked_json(data)})

    def end(self) -> None:
        """Report the end of every background job, while the client can still be reached."""
        for id, job in self.jobs.items():
            self._report(id, job.action, _cancelled(job.action))
        self.jobs.clear()

    def cancel(self, id: str) -> bool:
        """Cancel a background job. Return False when none runs under this id."""
        job = self.jobs.get(id)
        if job is None:
            return False
        if job.work.scope is None:  # it has not started, so it cannot report its end itself
            del self.jobs[id]
            self._report(id, job.action, {"status": "cancelled"})
        job.work.cancel()
        return True


def _name(action: OfferedAction) -> str:
    return f"{action.service}:{action.spec.name}"


def _carried(action: OfferedAction, result: Any, carry: Callable[[Any], T]) -> T:
    if result.__class__ is not action.spec.result.exact:
        result = _checked(action, result)
    try:
        return carry(result)
    except TypeError:
        raise _not_json(action, *(json_problem(result) or _NO_JSON)) from None


#: The path and the reason if nothing better is known.
_NO_JSON = ("$", "it cannot be written as JSON")


def _checked(action: OfferedAction, result: Any) -> Any:
    """Return a result in its JSON form. Raise `InvalidResult` if it does not have the declared type."""
    try:
        form = to_json(result)
        problems = check(action.spec.result, form)[1]
    except RecursionError:
        raise _not_json(action, "$", "it nests too deep, or contains itself") from None
    except RepeatedTooOften as error:
        raise _not_json(action, "$", str(error)) from None
    except (ValueError, TypeError):
        raise _not_json(action, *_NO_JSON) from None
    if problems:
        listed = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:10])
        log.error("%s returned what it does not declare: %s", where(action.spec.function), listed)
        paths = [Problem(problem.path, "is not what the action declares.") for problem in problems[:10]]
        text = f"The action '{action.service}:{action.spec.name}' returned what it does not declare."
        raise InvalidResult(text, problems=paths)
    return form


def _cancelled(action: OfferedAction) -> dict[str, Any]:
    """Return the end of a job that was cancelled. A thread cannot be stopped."""
    end = {"status": "cancelled"}
    if not action.spec.is_async:
        end["error"] = "The action could not be stopped. It may or may not have taken effect."
    return end


def _not_json(action: OfferedAction, path: str, why: str) -> InvalidResult:
    log.error("%s returned what JSON cannot carry: %s: %s", where(action.spec.function), path, why)
    text = f"The action '{action.service}:{action.spec.name}' returned what JSON cannot carry: {path}: {why}."
    return InvalidResult(text, problems=[Problem(path, f"{why}.")])


def _as_request_error(action: OfferedAction, raised: BaseException) -> RequestError:
    """Return the error for the client. It has the exception's text only if the author wrote it for the client."""
    error = unwrap_group(raised)
    if (meant := as_request_error(error)) is not None:
        return meant
    report(where(action.spec.function), error)
    return ActionFailed(f"The action '{action.service}:{action.spec.name}' failed.")
