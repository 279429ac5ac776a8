"""The life of one session: open its services, run the bot, keep its deadlines, and close everything at its end.

The module has more than 300 lines because it is one class, which closes what it has opened.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled

from ..declare.specs import LifespanValue
from ..errors import (
    AuthorError,
    BotFailed,
    Problem,
    RateLimited,
    RequestError,
    SessionClosed,
    UnknownFunctionCall,
    report,
)
from ..protocol.requests import (
    CallAction,
    ClientReady,
    Disconnect,
    FunctionResult,
    Operation,
    Reply,
    SubmitText,
    UpdateConfig,
)
from ..protocol.start_request import StartRequest
from ..utils.error_texts import where
from ..utils.log_text import logged_session
from ..utils.plugin_calls import TaskContext, reraise_control_flow
from ..utils.waiting import Condition, OneShotEvent, cancellation_classes
from ..voice.recording import record
from .audio_input import INPUT_RATE
from .bot_session import BotSession
from .resumable import Resumable
from .saved_sessions import SavedSession
from .session_core import Shared
from .worker_tasks import Workers

__all__ = ("LiveSession",)

log = logging.getLogger("rtvi_plugins")


class LiveSession:
    """One session from its start to its end."""

    def __init__(
        self,
        id: str,
        shared: Shared,
        start: StartRequest,
        body: Mapping[str, Any] = {},
        saved: SavedSession | None = None,
    ) -> None:
        """`body` is what a saved session is started from again, and `saved` the session to restore."""
        self.id = id
        self.session, self.parts = BotSession.create(id, shared, start, self._stop)
        self.clock = shared.clock
        #: Called once when the session ends, for a transport that may be stuck in sending.
        self.on_end: Callable[[], None] | None = None
        #: Held around calls from a transport, which may come from a plain callback of the event loop.
        self.task_context: AbstractContextManager[None] = nullcontext()
        self._client_is_ready = OneShotEvent()
        self._service_keepers: TaskGroup | None = None
        #: Notified when the session has ended and its record is finished.
        self.finished = Condition(lambda: self.parts.outbox.finished)
        self._services_opened, self._saved = False, saved
        #: Cancelled if the session ends while its services open.
        self._opening: anyio.CancelScope | None = None
        #: What lets a client come back; None if it cannot.
        self.resumable = Resumable.create(self.session, self.parts, body, saved)

    def offer_again(self) -> None:
        """Offer what the registry has now, with the same providers."""
        parts = self.parts
        parts.protocol.offer = parts.shared.offers.get(parts.protocol.offer.providers, parts.start.grants)

    # ---- from the start to the end ---------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[RequestError | None]) -> None:
        """Open the services, run the bot once the client is ready, and close everything.

        `task_status` gets None when the client may connect, or the error why not. It does not wait for services to
        close.
        """
        self.task_context = TaskContext()
        logged_session.set(self.id)
        async with anyio.create_task_group() as keepers:
            self._service_keepers = keepers
            try:
                try:
                    self.parts.services.begin(keepers)
                    with anyio.CancelScope() as self._opening:
                        await self.parts.failovers.open_all()
                    self._opening = None
                    await self._restore()
                except RequestError as error:
                    task_status.started(error)
                else:
                    await self._serve(task_status)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._shut()
                keepers.cancel_scope.cancel()

    async def _restore(self) -> None:
        """Restore a saved session, and claim it, now that its services are open. Raise a `RequestError`."""
        if self._saved is not None and self.resumable is not None and not self.closed:
            await self.resumable.restore(self._saved)
        if self.closed:
            raise SessionClosed("The session was closed while its services were opening.")

    async def _serve(self, task_status: TaskStatus[RequestError | None]) -> None:
        """Let the client connect, and stay until the session ends, which cancels everything in here."""
        parts = self.parts
        async with anyio.create_task_group() as tasks:
            parts.tasks, parts.workers = tasks, Workers(tasks)
            if self.session.resumed and self.resumable is not None:
                self.resumable.begin(tasks)
            self._services_opened = True
            parts.shared.hooks.notify("session_opened", session=self.session)
            task_status.started(None)
            await self._client_is_ready.wait()
            await checkpoint_if_cancelled()  # the client may have left already
            async with self._recorded():
                await self._run_bot()
                parts.turns.inputs.close()
                await anyio.sleep_forever()

    @asynccontextmanager
    async def _recorded(self) -> AsyncGenerator[None]:
        """Record the session, if the operator has given a folder for it."""
        folder, parts = self.parts.shared.record, self.parts
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
            except AuthorError as error:  # the session continues without a recording
                log.error("session %s is not recorded: %s", self.id, error, extra={"session": self.id})
            yield

    async def _run_bot(self) -> None:
        """Run the bot's function. If it returns, the session continues; if it raises, the session ends."""
        bot = self.parts.shared.offers.registry.bot
        try:
            lifespans = self.parts.shared.lifespans
            values = [lifespans.value(bot.function, each) for each in bot.given if isinstance(each, LifespanValue)]
            await bot.function(self.session, *values, **self.parts.actions.handles)
        except BaseException as error:
            reraise_control_flow(error, *cancellation_classes())
            report(where(bot.function), error)
            self.parts.end.fail(BotFailed("The bot failed, and the session is over."))

    async def _shut(self) -> None:
        self.parts.end.end()
        if self.resumable is not None:
            self.resumable.unwound.set()
        self.parts.tasks = None  # they have ended
        await self.parts.services.close()
        if self._services_opened:
            self.parts.shared.hooks.notify("session_closed", session=self.session, reason=self.parts.end.code)

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
            if parts.end.moved:  # the other process answers
                parts.protocol.requests.settle(request)
            else:
                parts.outbox.fail(request, SessionClosed("The session has ended."))
        if not parts.end.moved:
            parts.actions.end()
        if parts.tasks is not None:
            parts.tasks.cancel_scope.cancel()
        elif self._opening is not None:
            self._opening.cancel()
        parts.outbox.close()
        if self._service_keepers is not None:
            self._service_keepers.start_soon(self._close_although_stuck)
        if self._service_keepers is not None and self.resumable is not None and self.resumable.is_saved:
            # Otherwise a client that learns of the end could still resume the session.
            self._service_keepers.start_soon(self.resumable.finish, self._finish)
        else:
            self._finish()

    async def _close_although_stuck(self) -> None:
        """Close the services of a session that was cancelled, and whose bot or action does not end."""
        parts, seconds = self.parts, self.parts.shared.limits.close_seconds
        await anyio.sleep(seconds)  # the end of the session cancels this
        if parts.tasks is None:
            return
        stuck = parts.actions.running.values() or [parts.shared.offers.registry.bot]
        named = ", ".join(dict.fromkeys(where(each.function) for each in stuck))
        text = (
            "session %s does not end: %s continues %g s after it was cancelled. The services of the session are closed."
        )
        log.error(text, self.id, named, seconds, extra={"session": self.id})
        await parts.services.close()

    def _finish(self) -> None:
        """Let the client learn of the end."""
        self.parts.outbox.finish()
        self.finished.notify()
        if self.on_end is not None:
            self.on_end()

    @property
    def closed(self) -> bool:
        return self.parts.outbox.closed

    @property
    def unclosed(self) -> list[str]:
        return self.parts.services.unclosed

    @property
    def flooded(self) -> bool:
        """Whether the session has ended because the client sent far too much."""
        return self.parts.end.code == RateLimited.code

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer, a long action runs, or something is being said or waits to be."""
        parts = self.parts
        return bool(parts.actions.jobs) or bool(parts.protocol.requests.pending) or not parts.turns.is_idle

    # ---- connections ------------------------------------------------------------------------------------------------

    def connected(self, replace: Callable[[], None], proof: str | None) -> None:
        """Start the session's time, or continue with it after a resume. See `Resumable.connected`."""
        if self.resumable is not None:
            self.resumable.connected(replace, proof)
        if proof is None:
            self.parts.end.start_time()

    def disconnected(self, *, left: bool) -> None:
        """Wait for the client to come back, if it may. Otherwise, or if it has `left` on purpose, end the session."""
        if self.resumable is not None and not left and self.resumable.can_detach:
            self.resumable.disconnected()
        else:
            self.parts.end.leave("the client has left")

    def abandon(self) -> None:
        """End the session, which no client has claimed."""
        self.parts.end.abandon()

    @property
    def can_move(self) -> bool:
        """Whether another process can continue with the session."""
        return self.resumable is not None and self.resumable.can_detach and not self.closed

    @property
    def runs_effects(self) -> bool:
        """Whether a request, or a function that the bot runs for the LLM, is under way."""
        return bool(self.parts.protocol.requests.pending) or self.parts.calls.runs_actions

    def shut_down(self) -> None:
        """Answer every pending request, and end: the process ends."""
        self.parts.end.shut_down()

    def move(self) -> bool:
        """End here if another process can continue with the session. Return whether it can."""
        if self.resumable is None or not self.can_move:
            return False
        self.resumable.saver.freeze()
        self.parts.end.move()
        return True

    # ---- executing operations ----------------------------------------------------------------------------------------

    def execute(self, operation: Operation) -> None:
        match operation:
            case CallAction():
                self.parts.actions.start(operation)
            case Reply():
                self.parts.outbox.put(operation.text)
            case UpdateConfig():
                self.parts.updates.update(operation)
            case ClientReady():
                self._ready(operation)
            case SubmitText():
                self._feed(operation)
            case FunctionResult():
                self._take_result(operation)
            case Disconnect():
                self.parts.end.end("", "the client asked the bot to leave")

    def _ready(self, operation: ClientReady) -> None:
        if self.resumable is None or self.session.single_turn:
            self.parts.outbox.put(operation.text)
        elif self.parts.tasks is not None:
            self.resumable.ready(operation, self.parts.tasks)
        self.parts.end.ready_by = math.inf
        self._client_is_ready.set()
        for each in self.parts.start.old_names:
            self.parts.protocol.on_old_name(each)
        self.parts.failovers.report_all()
        for waited in self.parts.protocol.release():
            self.execute(waited)
        self.parts.end.watch_requests()

    def _take_result(self, operation: FunctionResult) -> None:
        if self.parts.calls.answered(operation.call, operation.result):
            self._note_received(operation.id)
        else:
            text = f"no function call {operation.call[:80]!r} is pending: it was answered or cancelled."
            self.parts.outbox.refuse(operation.id, UnknownFunctionCall([Problem("$.data.tool_call_id", text)]))

    def _feed(self, operation: SubmitText) -> None:
        try:
            self.session.submit(operation.input)
            self._note_received(operation.id)
        except RequestError as error:
            self.parts.outbox.refuse(operation.id, error)

    def _note_received(self, id: str) -> None:
        """Note a message that gets no answer, in a session that is saved: its client may ask whether it has arrived."""
        if self.parts.saver is not None:
            self.parts.saver.answered(id, "")
