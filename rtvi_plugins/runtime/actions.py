"""Run actions. Each request is answered, with the result or with an error, whatever the action's function does.

A `def` action runs in a thread. A long action is answered at once with the id of a background job, which sends messages
about its progress and its end.

The module has more than 300 lines because actions and background jobs end in the same ways.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import Any, TypeVar

import anyio
from attrs import define, evolve, field

from ..declare.specs import ActionSpec, BotService, Given, Injected, LifespanValue
from ..declare.to_json import RepeatedTooOften, to_checked_json, to_json
from ..declare.types import check
from ..errors import ActionFailed, Busy, Cancelled, InvalidArguments, InvalidResult, Problem, RequestError, report
from ..protocol.codec import encode_json
from ..protocol.offer import OfferedAction
from ..protocol.requests import CallAction
from ..utils.error_texts import unwrap_group, where
from ..utils.json_values import json_problem
from ..utils.plugin_calls import reraise_control_flow
from .client_errors import as_request_error
from .failover import Failovers
from .services import Handle, OpenService
from .session_core import SessionCore
from .worker_tasks import Work

__all__ = ("Actions",)

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

    core: SessionCore
    failovers: Failovers
    #: The services of the bot, as it receives them.
    handles: Mapping[str, Handle]
    jobs: dict[str, _Job] = field(factory=dict[str, "_Job"])
    #: What runs, by the number of the call: also actions that were answered, and do not end.
    running: dict[int, ActionSpec] = field(factory=dict[int, ActionSpec])
    #: How many jobs there were.
    started: int = 0
    #: Called with the outcome of each job.
    _job_ended: dict[str, Callable[[str], None]] = field(factory=dict[str, "Callable[[str], None]"])
    #: Whether a plugin has a hook for actions.
    _observed: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        hooks = self.core.shared.hooks
        self._observed = hooks.is_implemented("action_started") or hooks.is_implemented("action_finished")

    def start(self, call: CallAction) -> None:
        """Start an action. A long one is answered at once."""
        history = self.core.history
        kept = None if history is None else history.action(_action_name(call.action), call.arguments)
        if call.action.spec.long:
            self._start_job(call, kept)
        else:
            call.request.answered, call.request.repeatable = kept, call.action.spec.repeatable
            call.request.work = self.core.workers.submit(
                partial(self._perform_action, call, self._service_of(call.action))
            )

    def _service_of(self, action: OfferedAction) -> OpenService | None:
        """Return the service of an action when the call arrives. It may be switched before the action starts."""
        if _SERVICE not in action.spec.given:
            return None
        if self.failovers.serving:
            return self.failovers.for_action(action.service, action.spec)
        return self.failovers.services.open[action.service]

    async def _perform_action(self, call: CallAction, service: OpenService | None) -> None:
        core, request = self.core, call.request
        try:
            if core.saver is not None and not call.action.spec.repeatable:
                await core.saver.begin(f"begun/{request.id}", _action_name(call.action))
            carry = partial(core.protocol.result, request)
            text = await self._action_result(call.action, call.arguments, service, carry)
        except RequestError as error:
            core.outbox.fail(request, _at_arguments(call, error))
        except anyio.get_cancelled_exc_class():
            core.outbox.fail(request, Cancelled("The action was cancelled."))
            raise
        else:
            core.outbox.answer(request, text)

    async def _action_result(
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
        self.running[call] = action.spec
        if self._observed:
            self._notify_action("action_started", action, arguments=arguments, call=call)
        try:
            carried = _carried_result(action, await self._call_function(action, arguments, service), carry)
        except anyio.get_cancelled_exc_class():
            self._notify_action("action_finished", action, error=Cancelled.code, call=call)
            raise
        except BaseException as raised:  # also SystemExit, or the panic of a library in Rust
            reraise_control_flow(raised)
            error = _as_request_error(action, raised)
            self._notify_action("action_finished", action, error=error.code, call=call)
            raise error from None
        finally:
            del self.running[call]
        if self._observed:
            self._notify_action("action_finished", action, error=None, call=call)
        return carried

    async def _call_function(
        self, action: OfferedAction, arguments: Mapping[str, Any], service: OpenService | None
    ) -> Any:
        spec = action.spec
        given = [
            self.core.session if each is _SESSION else self._other_injected(each, service, spec) for each in spec.given
        ]
        if spec.is_async:
            return await spec.function(*given, **arguments)
        return await self.core.shared.threads.run(partial(spec.function, *given, **arguments))

    def _other_injected(self, parameter: Injected, service: OpenService | None, spec: ActionSpec) -> Any:
        """Return a service, or the value of a lifespan."""
        if isinstance(parameter, BotService):
            return self.handles[parameter.name]
        if isinstance(parameter, LifespanValue):
            return self.core.shared.lifespans.value(spec.function, parameter)
        if service is None or service.error is None:
            return service and service.live
        raise service.failure()

    def _sendable(self, result: Any) -> Any:
        """Return a result if it can be sent in a message. Raise `TypeError` or `InvalidResult` for any other."""
        size, longest = len(encode_json(result)), self.core.shared.limits.outbox_size // 2
        if size > longest:
            raise InvalidResult(f"The result is {size} characters long; at most {longest} are sent.")
        return result

    def _notify_action(self, hook: str, action: OfferedAction, **facts: Any) -> None:
        about = {"session": self.core.session, "service": action.service, "action": action.spec.name}
        self.core.shared.hooks.notify(hook, **about, **facts)

    async def call(self, action: OfferedAction, sent: Mapping[str, Any]) -> Any:
        """Run an action that the bot's LLM calls. Return its result as JSON; raise `RequestError` if it fails."""
        arguments = action.binder.bind(dict(sent), "$.arguments")
        return await self._action_result(action, arguments, self._service_of(action), self._sendable)

    # ---- long actions ----------------------------------------------------------------------------------------------

    def _start_job(self, call: CallAction, kept: Callable[[str], None] | None) -> None:
        core, most = self.core, self.core.shared.limits.jobs
        if len(self.jobs) >= most:
            call.request.answered = kept
            return core.outbox.fail(call.request, Busy(f"{most} long actions are running; wait for one."))
        self.started += 1
        id = f"job-{self.started}"
        if kept is not None:
            self._job_ended[id] = kept
        if core.saver is not None:
            core.saver.note_text(f"job/{id}", _action_name(call.action))
            core.saver.note("jobs", self.started)
        core.outbox.answer(call.request, core.protocol.result(call.request, {"job": id}))
        run = partial(self._perform_long, id, call, self._service_of(call.action))
        self.jobs[id] = _Job(call.action, core.workers.submit(run, later=True))
        return None

    async def _perform_long(self, id: str, call: CallAction, service: OpenService | None) -> None:
        token = _running_job.set(id)
        end = _cancelled(call.action)
        try:
            if self.core.saver is not None:
                await self.core.saver.begin(f"job/{id}", _action_name(call.action))
            result = await self._action_result(call.action, call.arguments, service, self._sendable)
            end = {"status": "done", "result": result}
        except RequestError as error:
            end = {"status": "failed", **self.core.outbox.sendable_form(_at_arguments(call, error))}
        finally:
            _running_job.reset(token)
            if self.jobs.pop(id, None) is not None:
                self._report_job(id, call.action, end)

    def _report_job(self, id: str, action: OfferedAction, more: Mapping[str, Any]) -> None:
        if more["status"] != "progress" and (ended := self._job_ended.pop(id, None)) is not None:
            ended("ok" if more["status"] == "done" else more.get("code", more["status"]))
        if self.core.saver is not None and id not in self.jobs:
            self.core.saver.end(f"job/{id}", always=True)
        self.core.outbox.send("server-message", {"type": "job", "job": id, "action": _action_name(action), **more})

    def progress(self, data: Any) -> None:
        """Send the progress of the background job that runs in this context.

        Raise `TypeError` for a value that JSON cannot carry, `ValueError` for one longer than `Limits.outbox_size`.
        """
        id = _running_job.get(None)
        if id is None or id not in self.jobs:
            raise RuntimeError("session.progress() reports on a long action: declare it @action(..., long=True).")
        self._report_job(id, self.jobs[id].action, {"status": "progress", "data": to_checked_json(data)})

    def end(self) -> None:
        """Report the end of every background job, while the client can still be reached."""
        for id, job in self.jobs.items():
            self._report_job(id, job.action, _cancelled(job.action))
        self.jobs.clear()

    def cancel(self, id: str) -> bool:
        """Cancel a background job. Return False when none runs under this id."""
        job = self.jobs.get(id)
        if job is None:
            return False
        if job.work.scope is None:  # it has not started, so it cannot report its end itself
            del self.jobs[id]
            self._report_job(id, job.action, {"status": "cancelled"})
        job.work.cancel()
        return True


def _action_name(action: OfferedAction) -> str:
    return f"{action.service}:{action.spec.name}"


def _carried_result(action: OfferedAction, result: Any, carry: Callable[[Any], T]) -> T:
    if result.__class__ is not action.spec.result.exact:
        result = _checked_result(action, result)
    try:
        return carry(result)
    except TypeError:
        raise _not_json(action, *(json_problem(result) or _NO_JSON)) from None


#: The path and the reason if nothing better is known.
_NO_JSON = ("$", "it cannot be written as JSON")


def _checked_result(action: OfferedAction, result: Any) -> Any:
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


def _at_arguments(call: CallAction, error: RequestError) -> RequestError:
    """Return an error whose problems have the paths of the arguments in the message, in place of their names."""
    if type(error) is not InvalidArguments:
        return error
    names = call.action.spec.parameters
    problems = [evolve(each, path=call.path_of(each.path)) if each.path in names else each for each in error.problems]
    return InvalidArguments(problems)


def _as_request_error(action: OfferedAction, raised: BaseException) -> RequestError:
    """Return the error for the client. It has the exception's text only if the author wrote it for the client."""
    error = unwrap_group(raised)
    if (meant := as_request_error(error)) is not None:
        return meant
    report(where(action.spec.function), error)
    return ActionFailed(f"The action '{action.service}:{action.spec.name}' failed.")
