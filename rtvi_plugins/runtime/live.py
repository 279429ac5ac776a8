"""The life of one session: open its services, run the bot, keep its deadlines, and close everything at its end."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled

from ..clock import Deadline
from ..declare.specs import LifespanValue
from ..errors import (
    ActionTimeout,
    AuthorError,
    BotFailed,
    Problem,
    RateLimited,
    RequestError,
    SessionClosed,
    SessionIdle,
    SessionTooLong,
    UnknownFunctionCall,
    report,
)
from ..protocol.operations import (
    CallAction,
    ClientReady,
    Disconnect,
    FunctionResult,
    Operation,
    Reply,
    SubmitText,
    UpdateConfig,
)
from ..protocol.requests import Request
from ..protocol.start import StartRequest
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import where
from ..utils.task_context import TaskContext
from ..utils.waiting import OneShotEvent, cancellation_classes
from ..voice.recording import record
from .audio_input import INPUT_RATE
from .bot_session import BotSession
from .shared import Shared
from .workers import Workers

__all__ = ("LiveSession",)

log = logging.getLogger("rtvi_plugins")


class LiveSession:
    """One session from its start to its end."""

    def __init__(self, id: str, shared: Shared, start: StartRequest) -> None:
        self.id = id
        self.session, self.parts = BotSession.create(id, shared, start, self._stop)
        self.clock = shared.clock
        self.limits = shared.limits
        #: Called once when the session ends, for a transport that may be stuck in sending.
        self.on_end: Callable[[], None] | None = None
        #: Held around calls from a transport, which may come from a plain callback of the event loop.
        self.task_context: AbstractContextManager[None] = nullcontext()
        #: When the client sent something last.
        self.last_received = self.clock.now()
        self.deadlines = Deadline(self.clock, self._deadline_reached)
        self._shared = shared
        self._began = OneShotEvent()
        self._tasks: TaskGroup | None = None
        self._ends = self.last_received
        self._opened = False

    # ---- from the start to the end ---------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[RequestError | None]) -> None:
        """Open the services, run the bot once the client is ready, and close everything.

        `task_status` gets None when the client may connect, or the error why not. It does not wait for services to
        close.
        """
        self.task_context = TaskContext()
        async with anyio.create_task_group() as keepers:
            try:
                failed = await self.parts.services.open(keepers)
                if failed is None and self.closed:
                    failed = SessionClosed("The session was closed while its services were opening.")
                if failed is None:
                    await self._serve(task_status)
                else:
                    task_status.started(failed)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut()
                keepers.cancel_scope.cancel()

    async def _serve(self, task_status: TaskStatus[RequestError | None]) -> None:
        """Let the client connect, and stay until the session ends, which cancels everything in here."""
        parts = self.parts
        async with anyio.create_task_group() as tasks:
            self._tasks = parts.ending.tasks = parts.calls.tasks = tasks
            workers = Workers(tasks)
            parts.services.serve(tasks, workers)
            parts.actions.serve(workers)
            self._opened = True
            parts.hooks.notify("session_opened", session=self.session)
            task_status.started(None)
            await self._began.wait()
            await checkpoint_if_cancelled()  # the client may have left already
            async with self._recorded():
                await self._run_bot()
                parts.turns.inputs.close()
                await anyio.sleep_forever()

    @asynccontextmanager
    async def _recorded(self) -> AsyncGenerator[None]:
        """Record the session, if the operator has given a folder for it."""
        folder, parts = self._shared.record, self.parts
        if folder is None:
            yield
            return
        async with AsyncExitStack() as recording:
            try:
                recorder = await recording.enter_async_context(record(folder, self.id, now=self.clock.now))
                if parts.audio_input is not None and parts.turns.audio is not None:
                    parts.turns.audio.record(recorder, INPUT_RATE)
                    parts.audio_input.record(recorder)
                parts.recorder = recorder
            except AuthorError as error:  # the session goes on without a recording
                log.error("session %s is not recorded: %s", self.id, error)
            yield

    async def _run_bot(self) -> None:
        """Run the bot's function. If it returns, the session goes on; if it raises, the session ends."""
        bot = self.parts.services.registry.bot
        try:
            lifespans = self._shared.lifespans
            values = [lifespans.value(bot.function, each) for each in bot.given if isinstance(each, LifespanValue)]
            await bot.function(self.session, *values, **self.parts.actions.handles)
        except BaseException as error:
            reraise_control_flow(error, *cancellation_classes())
            report(where(bot.function), error)
            self.parts.ending.fail(BotFailed("The bot failed, and the session is over."))

    async def _shut(self) -> None:
        self.parts.ending.end()
        await self.parts.services.close()
        if self._opened:
            self.parts.hooks.notify("session_closed", session=self.session, reason=self.parts.ending.code)

    def _stop(self) -> None:
        """Answer every pending request, and cancel everything that runs: the session ends."""
        parts = self.parts
        parts.turns.inputs.closing = True
        parts.turns.inputs.close()
        for timer in parts.timers:
            timer.cancel()
        if parts.audio_input is not None:
            parts.audio_input.close()
        for request in list(parts.protocol.requests.pending.values()):
            parts.outbox.fail(request, SessionClosed("The session has ended."))
        parts.actions.end()
        parts.outbox.close()
        self.deadlines.cancel()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        if self.on_end is not None:
            self.on_end()

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.parts.outbox.closed

    @property
    def unclosed(self) -> list[str]:
        """The names of services that were cancelled because they did not close, and that have not ended."""
        return self.parts.services.unclosed

    @property
    def flooded(self) -> bool:
        """Whether the session has ended because the client sent far too much."""
        return self.parts.ending.code == RateLimited.code

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer, a long action runs, or something is being said or waits to be."""
        parts = self.parts
        return bool(parts.actions.jobs) or bool(parts.protocol.requests.pending) or not parts.turns.is_idle

    # ---- deadlines -------------------------------------------------------------------------------------------------

    def claimed(self) -> None:
        """Start the session's time: a client has connected."""
        self.last_received = self.clock.now()
        self._ends = self.last_received + self.limits.session_seconds
        self._watch(self._session_due())

    def watch_requests(self) -> None:
        """Watch the deadline of the request that was received last."""
        if self.parts.protocol.requests.pending:
            self._watch(next(reversed(self.parts.protocol.requests.pending.values())).due)

    def _watch(self, due: float) -> None:
        """Have `_deadline_reached` called no later than this."""
        if not self.closed:
            self.deadlines.no_later_than(due)

    def _session_due(self) -> float:
        return math.inf if self.session.closing else min(self._ends, self._idle_due())

    def _idle_due(self) -> float:
        """Return when the session has been idle for too long, as seen now. A timer of the bot counts like a message."""
        now = self.clock.now()
        timers = [each.due for each in self.parts.timers if each.callback is not None or each.due <= now]
        return max(self.last_received, *timers, 0.0) + self.limits.idle_seconds

    def _deadline_reached(self) -> None:
        """Look which deadlines have passed, and wait for the next one."""
        now, limits, ending = self.clock.now(), self.limits, self.parts.ending
        if now >= self._ends:
            length = f"The session has reached its greatest length, {limits.session_seconds:g} s."
            ending.when_heard(partial(ending.fail, SessionTooLong(length)))
        elif now >= self._idle_due():
            silence = f"The client sent nothing for {limits.idle_seconds:g} s."
            ending.when_heard(partial(ending.fail, SessionIdle(silence)))
        if self.closed:
            return
        pending = self.parts.protocol.requests.pending
        for request in [each for each in pending.values() if each.due <= now]:
            self._expire(request)
        self._watch(min((*(each.due for each in pending.values()), self._session_due())))

    def _expire(self, request: Request) -> None:
        """Answer a request that took too long, without waiting for its function to unwind."""
        begun, waits = "It may or may not have taken effect.", "The client has not sent client-ready."
        hint = begun if self.parts.protocol.ready else waits
        self.parts.outbox.fail(request, ActionTimeout(f"The request was not finished in time. {hint}"))
        if request.work is not None:
            request.work.cancel()

    # ---- carrying out operations -----------------------------------------------------------------------------------

    def carry_out(self, operation: Operation) -> None:
        """Do what a message of the client asks for."""
        match operation:
            case CallAction():
                self.parts.actions.start(operation)
            case Reply():
                self.parts.outbox.put(operation.text)
            case UpdateConfig():
                self.parts.services.update(operation)
            case ClientReady():
                self._ready(operation)
            case SubmitText():
                self._feed(operation)
            case FunctionResult():
                self._take_result(operation)
            case Disconnect():
                self.parts.ending.end("", "the client asked the bot to leave")

    def _ready(self, operation: ClientReady) -> None:
        self.parts.outbox.put(operation.text)
        self._began.set()
        for each in self.parts.services.start.old_names:
            self.parts.protocol.on_old_name(each)
        self.parts.services.failovers.tell_all()
        for waited in self.parts.protocol.release():
            self.carry_out(waited)
        self._watch(min((each.due for each in self.parts.protocol.requests.pending.values()), default=math.inf))

    def _take_result(self, operation: FunctionResult) -> None:
        if not self.parts.calls.answered(operation.call, operation.result):
            text = f"no function call {operation.call[:80]!r} is pending: it was answered, or given up."
            self.parts.outbox.refuse(operation.id, UnknownFunctionCall([Problem("$.data.tool_call_id", text)]))

    def _feed(self, operation: SubmitText) -> None:
        try:
            self.session.submit(operation.input)
        except RequestError as error:
            self.parts.outbox.refuse(operation.id, error)
