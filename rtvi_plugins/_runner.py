"""One live session: carries out what the conversation decides, and gives every request its answer.

Texts come in through `receive`, which is synchronous and never raises; texts to be sent are taken from `outgoing`. In
between run the bot's function, the actions (`_workers`) and the services (`_services`), and one timer that looks
after all deadlines of the session.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus
from attrs import define, evolve, field, frozen

from ._clock import Clock, Timer
from ._codec import encode
from ._config import Config, GroupCall, Plan, Values, every_group
from ._conversation import (
    Call,
    Command,
    Conversation,
    Disconnect,
    Feed,
    FunctionResult,
    Ready,
    Reply,
    Request,
    Update,
)
from ._hooks import Hooks
from ._offer import Offer, OfferedAction, Offers
from ._registry import BOT
from ._services import Opener, OpenService
from ._shapes import check, to_json
from ._start import StartPlan
from ._workers import Job, Workers
from .context import Context, Message
from .errors import (
    ActionFailed,
    ActionTimeout,
    ApplyFailed,
    BotFailed,
    Busy,
    Cancelled,
    FunctionCallFailed,
    InternalError,
    InvalidConfig,
    InvalidResult,
    NoConversation,
    Problem,
    ProviderError,
    ProviderFailed,
    RequestError,
    SessionClosed,
    SessionIdle,
    SessionTooLong,
    SlowClient,
    StartFailed,
    UnknownFunctionCall,
    where,
)
from .events import Event, FunctionCallEnded, FunctionCallStarted, Interrupted, spell
from .limits import Limits
from .session import ClientInfo, Input, Session, Turn, UserText

__all__ = ("LiveSession", "Shared", "Threads")

log = logging.getLogger("rtvi_plugins")

#: The job of the long action that runs in this context.
_job: ContextVar[str] = ContextVar("rtvi_plugins_job")

#: What an end means to the WebSocket: 1000 normal, 1008 policy, 1011 a failure of ours.
_CLOSE_CODES: Mapping[str, int] = {
    "": 1000,
    SessionIdle.code: 1008,
    SessionTooLong.code: 1008,
    SlowClient.code: 1008,
    BotFailed.code: 1011,
    InternalError.code: 1011,
}


@define(eq=False)
class Threads:
    """The threads for actions that are plain functions: a bounded number, counting those that were abandoned."""

    limit: int
    running: int = 0
    abandoned: int = 0
    _lock: Lock = field(factory=Lock)

    def take(self) -> bool:
        """Reserve a thread; False when all are taken."""
        with self._lock:
            free = self.running < self.limit
            self.running += free
            return free

    def give_back(self) -> None:
        """To be called by the thread itself, which may outlive the action's deadline."""
        with self._lock:
            self.running -= 1


@frozen(eq=False)
class Shared:
    """What the sessions of one host have in common."""

    offers: Offers
    hooks: Hooks
    limits: Limits
    clock: Clock
    threads: Threads


@define(eq=False)
class _FunctionCall:
    """A function call that the client has not answered yet."""

    name: str
    answered: anyio.Event = field(factory=anyio.Event)
    result: Any = None
    failed: bool = False


@final
class LiveTurn(Turn):
    """A turn that is being held."""

    def __init__(self, epoch: int, live: Mapping[str, OpenService]) -> None:
        self.epoch = epoch
        self.live = live
        self.scope = anyio.CancelScope()
        self._interrupted = False

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def interrupt(self) -> None:
        self._interrupted = True
        self.scope.cancel()


class Handle:
    """A service as a bot holds it: whoever fills it now, or did when the turn began."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], OpenService]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        opened = self._find()
        if opened.error is not None:
            raise ProviderError(opened.provider.label, "unavailable")
        return getattr(opened.live, name)


@final
class LiveSession(Session):
    """A session as it runs."""

    def __init__(self, id: str, shared: Shared, plan: StartPlan) -> None:
        self.id = id
        self.context = Context()
        self.start_data = plan.start_data
        self.close_code, self.close_reason = 1000, ""
        self.closed = False
        self._shared = shared
        self._plan = plan
        self._config = Config(plan.values)
        offer = shared.offers.get(plan.providers, plan.grants)
        self._conversation = Conversation(offer, self._config, shared.limits, shared.clock.now())
        self._live: dict[str, OpenService] = {}
        self._retired: list[OpenService] = []
        self._outbox: list[str] = []
        self._sendable: anyio.Event | None = None
        self._began = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._workers: Workers | None = None
        self._timer: Timer | None = None
        self._ends = self._heard = shared.clock.now()
        self._inputs: deque[Input] = deque()
        self._fed: anyio.Event | None = None
        self._listens = True
        self._turn: LiveTurn | None = None
        self._epoch = 0
        self._edge: list[tuple[Plan, Values]] = []
        self._config_lock = anyio.Lock()
        self._function_calls: dict[str, _FunctionCall] = {}
        self._jobs: dict[str, Job] = {}
        self._made = 0
        self._opened = False
        self._ended_with = ""

    # ---- the life of a session -------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Open the services, run the bot once the client is ready, close everything. Raises only before it started."""
        failed: RequestError | None = None
        async with anyio.create_task_group() as keepers:
            self._opener = Opener(keepers, self._plan.keys, self._plan.service_options)
            try:
                failed = await self._open()
                if failed is None:
                    self._opened = True
                    task_status.started()
                    self._tell("session_opened")
                    await self._serve()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut()
                keepers.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _open(self) -> RequestError | None:
        """Open the services in the order of the bot's parameters, and set all options."""
        seconds = self._shared.limits.open_seconds
        try:
            with anyio.fail_after(seconds):
                for service in self._offer.registry.services:
                    self._live[service] = await self._opener.open(service, self._offer.provider(service))
            for call in every_group(self._offer):
                self._set_at_start(call)
        except TimeoutError:
            return StartFailed(f"The services did not open within {seconds:g} s.", retryable=True)
        except RequestError as error:
            return error
        return None

    def _set_at_start(self, call: GroupCall) -> None:
        try:
            self._set(call)
        except Exception as error:
            self._report(where(call.group.function), error)
            raise StartFailed(f"The options of the service {call.service!r} could not be set.") from None

    async def _serve(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            self._workers = Workers(self._tasks)
            if self.closed:
                return
            await self._began.wait()
            await self._run_bot()
            self._listens = False
            await anyio.sleep_forever()

    async def _run_bot(self) -> None:
        """Run the bot's function. It may return and leave the session to the client; if it raises, that is the end."""
        bot = self._offer.registry.bot
        handles = {name: Handle(partial(self._serving, name)) for name in bot.services}
        try:
            await bot.function(self, **handles)
        except Exception as error:
            self._report(where(bot.function), error)
            self.end(BotFailed("The bot failed, and the session is over."))

    def _serving(self, service: str) -> OpenService:
        """Who fills a service: within a turn, whoever did when it began."""
        return (self._turn.live if self._turn is not None else self._live)[service]

    def close(self, reason: str = "") -> None:
        self._end("", reason)

    def end(self, error: RequestError) -> None:
        """End the session for a reason that the client is told as a fatal error."""
        if not self.closed:
            told = error.to_json()
            self._send("error", {"message": error.message, "fatal": True, **told})
            self._end(error.code, error.message)

    def _end(self, code: str, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self.close_code, self.close_reason = _CLOSE_CODES.get(code, 1011), reason
        self._ended_with = code
        self._refuse_pending()
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        if self._sendable is not None:
            self._sendable.set()

    def _refuse_pending(self) -> None:
        for request in list(self._conversation.pending.values()):
            self._fail(request, SessionClosed("The session has ended."))

    async def _shut(self) -> None:
        """Close the services, the last opened first; ends also where a service does not want to be closed."""
        self._end("", "")
        for opened in (*reversed(self._live.values()), *self._retired):
            await opened.close(self._shared.limits.close_seconds)
        if self._opened:
            self._tell("session_closed", reason=self._ended_with)

    # ---- texts in and out ------------------------------------------------------------------------------------------

    def receive(self, text: str) -> None:
        """Take a text from the client. Every request in it gets its answer in `outgoing`, sooner or later."""
        if self.closed:
            return
        self._heard = now = self._shared.clock.now()
        command = self._conversation.receive(text, now)
        if command is not None:
            self._carry_out(command)
        if self._conversation.pending:
            self._arm(next(reversed(self._conversation.pending.values())).due)

    async def outgoing(self) -> Sequence[str]:
        """The texts to be sent next, in order; empty when the session has ended and all were taken."""
        while not self._outbox:
            if self.closed:
                return ()
            self._sendable = anyio.Event()
            await self._sendable.wait()
        batch, self._outbox = self._outbox, []
        return batch

    def disconnected(self) -> None:
        """The client is gone."""
        self._outbox.clear()
        self._end("", "the client has left")

    def claimed(self) -> None:
        """A client has come: the session's time begins."""
        self._heard = now = self._shared.clock.now()
        self._ends = now + self._shared.limits.session_seconds
        self._arm(self._session_due())

    def _put(self, text: str) -> None:
        self._outbox.append(text)
        if self._sendable is not None:
            self._sendable.set()
            self._sendable = None
        if len(self._outbox) > self._shared.limits.outbox and not self.closed:
            self._outbox.clear()
            self.end(SlowClient("The client does not read what is sent to it."))

    def _send(self, type: str, data: Any) -> None:
        if not self.closed:
            self._put(encode(type, None, data))

    # ---- deadlines -------------------------------------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        """See to it that the timer fires no later than this. One timer looks after everything that falls due."""
        if self._timer is not None and self._timer.callback is not None:
            if self._timer.due <= due:
                return
            self._timer.cancel()
        self._timer = self._shared.clock.call_at(due, self._tick)

    def _session_due(self) -> float:
        return min(self._ends, self._heard + self._shared.limits.idle_seconds)

    def _tick(self) -> None:
        now, limits = self._shared.clock.now(), self._shared.limits
        if now >= self._ends:
            return self.end(SessionTooLong(f"The session has reached its greatest length, {limits.session_seconds:g} s."))
        if now >= self._heard + limits.idle_seconds:
            return self.end(SessionIdle(f"The client sent nothing for {limits.idle_seconds:g} s."))
        for request in [each for each in self._conversation.pending.values() if each.due <= now]:
            self._expire(request)
        self._arm(min((each.due for each in self._conversation.pending.values()), default=self._session_due()))

    def _expire(self, request: Request) -> None:
        """Answer a request that took too long, without waiting for its function to unwind."""
        ready = "" if self._conversation.ready else " The client has not sent client-ready."
        self._fail(request, ActionTimeout(f"The request was not finished in time.{ready}"))
        if request.job is not None:
            request.job.cancel()

    # ---- answers ---------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, text: str) -> None:
        if self._conversation.settle(request):
            self._put(text)

    def _fail(self, request: Request, error: RequestError) -> None:
        self._answer(request, self._conversation.failure(request, error))

    def _refuse(self, id: str, error: RequestError) -> None:
        """Tell of the failure of a message that waits for no answer when all goes well."""
        self._put(encode("error-response", id, error.to_json()))

    def _report(self, what: str, error: BaseException) -> None:
        """To the log; not the exception's text, which may hold anything, unless somebody asks for it."""
        log.error("%s raised %s", what, type(error).__name__)
        log.debug("%s raised", what, exc_info=error)

    # ---- carrying out commands -------------------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        _DOERS[type(command)](self, command)

    def _do_reply(self, command: Reply) -> None:
        self._put(command.text)

    def _do_ready(self, command: Ready) -> None:
        self._put(command.text)
        self._began.set()
        for waited in self._conversation.release():
            self._carry_out(waited)

    def _do_disconnect(self, command: Disconnect) -> None:
        self._end("", "the client asked the bot to leave")

    def _do_feed(self, command: Feed) -> None:
        try:
            self.submit(command.input)
        except RequestError as error:
            self._refuse(command.id, error)

    def _do_function_result(self, command: FunctionResult) -> None:
        call = self._function_calls.pop(command.call, None)
        if call is None:
            path = "$.data.tool_call_id"
            told = f"no function call {command.call[:80]!r} is pending: it was answered, or given up."
            self._refuse(command.id, UnknownFunctionCall([Problem(path, told)]))
            return
        call.result = command.result
        call.answered.set()

    def _submit_job(self, run: Callable[[], Any]) -> Job:
        assert self._workers is not None
        return self._workers.submit(run)

    # ---- actions ---------------------------------------------------------------------------------------------------

    def _do_call(self, call: Call) -> None:
        if call.action.spec.long:
            self._start_job(call)
        else:
            call.request.job = self._submit_job(partial(self._perform, call))

    async def _perform(self, call: Call) -> None:
        """Run an action and answer with its result, or with what went wrong; also when it is cancelled."""
        request = call.request
        try:
            text = self._conversation.result(request, await self._result(call))
        except RequestError as error:
            self._fail(request, error)
        except TypeError:
            log.error("%s returned what JSON cannot carry", where(call.action.spec.function))
            self._fail(request, InvalidResult("The action returned what JSON cannot carry."))
        except anyio.get_cancelled_exc_class():
            self._fail(request, Cancelled("The action was cancelled."))
            raise
        else:
            self._answer(request, text)

    async def _result(self, call: Call) -> Any:
        """An action's result in its JSON form. Whatever it raises comes out as a `RequestError`."""
        action, spec = call.action, call.action.spec
        names = {"service": action.service, "action": spec.name}
        self._tell("action_started", arguments=call.arguments, **names)
        try:
            given = self._given(action)
            if spec.is_async:
                result = await spec.function(*given, **call.arguments)
            else:
                result = await self._in_thread(partial(spec.function, *given, **call.arguments))
            result = _checked_result(action, result)
        except (Exception, SystemExit) as raised:
            error = self._told(action, raised)
            self._tell("action_finished", error=error.code, **names)
            raise error from None
        self._tell("action_finished", error=None, **names)
        return result

    def _given(self, action: OfferedAction) -> list[Any]:
        given: list[Any] = []
        if action.spec.wants_service:
            opened = self._live[action.service]
            if opened.error is not None:
                raise ProviderError(opened.provider.label, "unavailable")
            given.append(opened.live)
        if action.spec.wants_session:
            given.append(self)
        return given

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        threads = self._shared.threads
        if not threads.take():
            raise Busy(f"All {threads.limit} threads for actions are taken; send again later.")

        def run() -> Any:
            try:
                return function()
            finally:
                threads.give_back()

        try:
            return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
        except anyio.get_cancelled_exc_class():
            threads.abandoned += 1
            raise

    def _told(self, action: OfferedAction, raised: BaseException) -> RequestError:
        """What a client is told of an exception: our words, unless the author chose them for the client."""
        while isinstance(raised, ExceptionGroup) and len(raised.exceptions) == 1:
            raised = raised.exceptions[0]
        match raised:
            case RequestError():
                return raised
            case ProviderError():
                return ProviderFailed(str(raised), retryable=raised.retryable)
            case _:
                self._report(where(action.spec.function), raised)
                return ActionFailed(f"The action '{action.service}:{action.spec.name}' failed.")

    # ---- long actions ----------------------------------------------------------------------------------------------

    def _start_job(self, call: Call) -> None:
        if len(self._jobs) >= self._shared.limits.jobs:
            return self._fail(call.request, Busy(f"{self._shared.limits.jobs} long actions are running; wait for one."))
        id = self._new_id("job")
        self._answer(call.request, self._conversation.result(call.request, {"job": id}))
        self._jobs[id] = self._submit_job(partial(self._perform_long, id, call))

    async def _perform_long(self, id: str, call: Call) -> None:
        token = _job.set(id)
        name = f"{call.action.service}:{call.action.spec.name}"
        end: dict[str, Any] = {"status": "cancelled"}
        try:
            end = {"status": "done", "result": await self._result(call)}
        except RequestError as error:
            end = {"status": "failed", **error.to_json()}
        finally:
            _job.reset(token)
            del self._jobs[id]
            self._send_job(id, name, end)

    def _send_job(self, id: str, name: str, more: Mapping[str, Any]) -> None:
        message = {"type": "job", "job": id, "action": name, **more}
        try:
            self._send("server-message", message)
        except TypeError:
            failed = InvalidResult("The action returned what JSON cannot carry.").to_json()
            self._send("server-message", {"type": "job", "job": id, "action": name, "status": "failed", **failed})

    def progress(self, data: Any) -> None:
        id = _job.get(None)
        if id is None or id not in self._jobs:
            raise RuntimeError("session.progress() reports on a long action: declare it @action(..., long=True).")
        self._send("server-message", {"type": "job", "job": id, "status": "progress", "data": to_json(data)})

    def cancel_job(self, job: str) -> bool:
        if job not in self._jobs:
            return False
        if self._jobs[job].scope is None:  # it has not started, so nothing of it is left to tell its end
            self._send_job(job, "", {"status": "cancelled"})
            self._jobs.pop(job).cancel()
        else:
            self._jobs[job].cancel()
        return True

    def _new_id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"

    # ---- config ----------------------------------------------------------------------------------------------------

    @property
    def _offer(self) -> Offer:
        return self._conversation.offer

    def _do_update(self, update: Update) -> None:
        """Commit a change at once where nothing has to be waited for, or else in its turn."""
        if not self._config_lock.statistics().locked:
            plan = self._prepare(update)
            if plan is None:
                return
            if not plan.switched:
                return self._commit(update, plan, {})
        update.request.job = self._submit_job(partial(self._update_in_turn, update))

    def _prepare(self, update: Update) -> Plan | None:
        try:
            return self._config.prepare(update.sent, self._offer, self._plan.layers, update.path)
        except RequestError as error:
            self._fail(update.request, error)
            return None

    async def _update_in_turn(self, update: Update) -> None:
        opened: dict[str, OpenService] = {}
        try:
            async with self._config_lock:
                plan = self._prepare(update)
                if plan is not None:
                    await self._open_switched(plan, opened)
                    self._commit(update, plan, opened)
        except RequestError as error:
            self._fail(update.request, error)
        finally:
            for each in opened.values():
                if each is not self._live.get(each.service):
                    self._retire(each)

    async def _open_switched(self, plan: Plan, opened: dict[str, OpenService]) -> None:
        """Open the new providers and set their options; nothing of the session has been touched yet."""
        offer = self._shared.offers.get(plan.providers, self._plan.grants)
        config = Config(plan.values)
        for service in plan.switched:
            provider = offer.provider(service)
            opened[service] = await self._opener.open(service, provider)
            for call in plan.calls:
                if call.service == service and call.group in provider.groups:
                    call.group.function(*self._given_group(call, opened[service]), **config.arguments(call, provider))

    def _commit(self, update: Update, plan: Plan, opened: Mapping[str, OpenService]) -> None:
        """Make a plan real, and answer. A request that ran into its deadline changes nothing any more."""
        if self._conversation.pending.get(update.request.id) is not update.request:
            return
        if update.interrupt:
            self.interrupt()
        now = self._turn is None or update.interrupt
        error = self._install(plan, opened, now=now)
        if error is not None:
            return self._fail(update.request, error)
        applies = "now" if now else "next-turn"
        self._answer(update.request, self._conversation.config(update.request, applies=applies))
        self._tell("config_committed", revision=self._config.revision, changed=plan.changed)

    def _install(self, plan: Plan, opened: Mapping[str, OpenService], *, now: bool) -> RequestError | None:
        """Put a plan in force, at once or at the turn's edge; if a provider refuses it, what was is in force again."""
        before, offer = self._config.values, self._offer
        self._config.commit(plan)
        self._conversation.offer = self._shared.offers.get(plan.providers, self._plan.grants)
        self._live, live = {**self._live, **opened}, self._live
        calls = [call for call in plan.calls if call.service not in opened or not self._is_own(call)]
        if now:
            failed = self._apply(evolve(plan, calls=tuple(calls)), before, partial(self._restore, live, offer))
            if failed is not None:
                return failed
        elif calls:
            self._edge.append((evolve(plan, calls=tuple(calls)), before))
        for service in opened:
            self._retire(live[service])
        return None

    def _is_own(self, call: GroupCall) -> bool:
        return call.group in self._offer.provider(call.service).groups

    def _restore(self, live: dict[str, OpenService], offer: Offer) -> None:
        self._live, self._conversation.offer = live, offer

    def _apply(self, plan: Plan, before: Values, undo: Callable[[], None]) -> RequestError | None:
        """Set groups one after the other. If one raises, those before it are set back, or their service reopened."""
        done: list[GroupCall] = []
        for call in plan.calls:
            done.append(call)
            try:
                self._set(call)
            except Exception as error:
                self._report(where(call.group.function), error)
                self._config.revert(plan, before)
                undo()
                for each in done:
                    self._set_back(each)
                reason = f" {error}" if isinstance(error, ProviderError | RequestError) else ""
                return ApplyFailed(f"The options of {call.service!r} could not be set; the old ones are in force.{reason}")
        return None

    def _set(self, call: GroupCall) -> None:
        provider = self._offer.provider(call.service)
        given = self._given_group(call, self._live[call.service])
        call.group.function(*given, **self._config.arguments(call, provider))

    def _given_group(self, call: GroupCall, opened: OpenService) -> list[Any]:
        return [opened.live] * call.group.wants_service + [self] * call.group.wants_session

    def _set_back(self, call: GroupCall) -> None:
        try:
            self._set(call)
        except Exception as error:
            self._report(where(call.group.function), error)
            self._submit_job(partial(self._reopen, call.service))

    async def _reopen(self, service: str) -> None:
        """Put a fresh service in the place of one that would not take its old options back."""
        async with self._config_lock:
            try:
                opened = await self._opener.open(service, self._offer.provider(service))
            except RequestError as error:
                return self.end(error)
            self._retire(self._live[service])
            self._live = {**self._live, service: opened}
            for call in every_group(self._offer):
                if call.service == service and self._is_own(call):
                    self._set_again(call)

    def _set_again(self, call: GroupCall) -> None:
        try:
            self._set(call)
        except Exception as error:
            self._report(where(call.group.function), error)
            self.end(ApplyFailed(f"The service {call.service!r} could not be brought back."))

    def _reach_edge(self) -> None:
        """Between two turns: changes that waited are made, and services that were replaced are closed."""
        waiting, self._edge = self._edge, []
        for plan, before in waiting:
            if self._apply(plan, before, lambda: None) is not None:
                self._put(self._conversation.config(None))
        retired, self._retired = self._retired, []
        for opened in retired:
            self._retire(opened)

    def _retire(self, opened: OpenService) -> None:
        """Close a service that was replaced, once nothing is being spoken with it."""
        if (self._turn is not None and opened in self._turn.live.values()) or self._tasks is None or self.closed:
            self._retired.append(opened)
        else:
            self._tasks.start_soon(opened.close, self._shared.limits.close_seconds)

    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        known = self._offer.registry.services
        if service not in known or provider not in known[service].providers:
            raise InvalidConfig([Problem("$", f"the bot names no provider {provider!r} for {service!r}.")])
        async with self._config_lock:
            offer = self._shared.offers.get({**self._offer.providers, service: provider}, self._plan.grants)
            plan = self._config.switch(self._offer, offer, self._plan.layers)
            opened: dict[str, OpenService] = {}
            try:
                await self._open_switched(plan, opened)
                if interrupt:
                    self.interrupt()
                error = self._install(plan, opened, now=self._turn is None or interrupt)
                if error is not None:
                    raise error
                self._put(self._conversation.config(None))
            finally:
                for each in opened.values():
                    if each is not self._live.get(each.service):
                        self._retire(each)

    # ---- what bots and actions may do ------------------------------------------------------------------------------

    @property
    def client(self) -> ClientInfo:
        return self._conversation.client

    @property
    def providers(self) -> Mapping[str, str]:
        return self._offer.providers

    def config(self, service: str) -> Mapping[str, Any]:
        return dict(self._config.values[service])

    def emit(self, event: Event) -> None:
        if self._conversation.ready:
            for type, data in spell(event, self._conversation.client.version):
                self._send(type, data)

    def send(self, data: Any) -> None:
        self._send("server-message", to_json(data))

    def fail(self, error: ProviderError) -> None:
        told = ProviderFailed(str(error), retryable=error.retryable)
        self._send("error", {"message": told.message, "fatal": False, **told.to_json()})

    def remember(self, *messages: Message) -> None:
        self.context.append(*messages)
        for message in messages:
            text, role = message.get("content"), message["role"]
            if isinstance(text, str) and role in ("user", "assistant"):
                self._tell("transcript", role=role, text=text, interrupted=message.get("interrupted", False))

    async def call_function(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> Any:
        id = id or self._new_id("call")
        if id in self._function_calls:
            raise FunctionCallFailed(f"The function call {id!r} is pending already.")
        call = self._function_calls[id] = _FunctionCall(name)
        limits, clock = self._shared.limits, self._shared.clock
        timer = clock.call_at(clock.now() + limits.function_seconds, partial(self._give_up, call))
        self.emit(FunctionCallStarted(id, name, arguments))
        answered = False
        try:
            await call.answered.wait()
            answered = not call.failed
        finally:
            timer.cancel()
            self._function_calls.pop(id, None)
            self.emit(FunctionCallEnded(id, name, not answered, call.result))
        if not answered:
            raise FunctionCallFailed(f"The client did not answer the call of {name!r} in {limits.function_seconds:g} s.")
        return call.result

    def _give_up(self, call: _FunctionCall) -> None:
        call.failed = True
        call.answered.set()

    # ---- the conversation ------------------------------------------------------------------------------------------

    def submit(self, input: Input) -> None:
        if not self._listens:
            raise NoConversation("This bot holds no conversation, so nobody listens.")
        if len(self._inputs) >= self._shared.limits.in_flight:
            raise Busy("The conversation is fed faster than it can follow; send again later.")
        if isinstance(input, UserText) and input.run:
            self.interrupt()
        self._inputs.append(input)
        if self._fed is not None:
            self._fed.set()

    async def inputs(self) -> AsyncIterator[Input]:
        while True:
            while self._inputs:
                yield self._inputs.popleft()
            self._fed = anyio.Event()
            await self._fed.wait()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Turn]:
        if self._turn is not None:
            raise RuntimeError("session.turn() is held already; a session holds one turn at a time.")
        self._reach_edge()
        self._epoch += 1
        turn = self._turn = LiveTurn(self._epoch, self._live)
        try:
            with turn.scope:
                yield turn
        finally:
            self._turn = None
            self._reach_edge()

    def interrupt(self) -> bool:
        if self._turn is None or self._turn.interrupted:
            return False
        self._turn.interrupt()
        self.emit(Interrupted())
        return True

    def _tell(self, hook: str, **facts: Any) -> None:
        self._shared.hooks.tell(hook, session=self, **facts)


_DOERS: Mapping[type, Callable[[LiveSession, Any], None]] = {
    Reply: LiveSession._do_reply,
    Ready: LiveSession._do_ready,
    Call: LiveSession._do_call,
    Update: LiveSession._do_update,
    Feed: LiveSession._do_feed,
    FunctionResult: LiveSession._do_function_result,
    Disconnect: LiveSession._do_disconnect,
}


def _checked_result(action: OfferedAction, result: Any) -> Any:
    """A result in its JSON form, if it is what the action declares."""
    shape = action.spec.result
    if result.__class__ is shape.exact:
        return result
    try:
        told = to_json(result)
        problems = check(shape, told)[1]
    except (RecursionError, ValueError, TypeError):
        problems, told = [Problem("$", "cannot be turned into JSON")], None
    if problems:
        listed = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        log.error("%s returned what it does not declare: %s", where(action.spec.function), listed)
        raise InvalidResult(f"The action '{action.service}:{action.spec.name}' returned what it does not declare.")
    return told
