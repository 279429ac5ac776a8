"""One live session: the life of it, its deadlines, and what carries out each operation of the protocol.

Texts come in through `receive`, which is synchronous and never raises; texts to be sent are taken from `outgoing`. In
between run the bot's function, the actions (`_actions`), changes of config and providers (`_settings`) and the
conversation (`_dialogue`); one timer looks after all deadlines of the session.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial
from pathlib import Path
from typing import Any, cast, final

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import frozen

from ..clock import Clock, Timer
from ..context import Context, Function, Message
from ..declare.types import carried
from ..errors import (
    ActionTimeout,
    AuthorError,
    BotFailed,
    FunctionCallFailed,
    InternalError,
    Problem,
    ProviderError,
    ProviderFailed,
    RateLimited,
    RequestError,
    SessionClosed,
    SessionIdle,
    SessionTooLong,
    SlowClient,
    UnknownFunctionCall,
    UnusableAudio,
    for_client,
    report,
    where,
)
from ..events import Event, serialize
from ..kinds import Audio
from ..limits import Limits
from ..protocol.config import Config
from ..protocol.offer import Offer, Offers
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
from ..protocol.protocol import RTVIProtocol
from ..protocol.requests import Request
from ..protocol.start import StartPlan
from ..registry.hooks import Hooks
from ..session import ClientInfo, FunctionCall, Input, Listener, Session, Turn, VADParams
from ..utils.cancellation import cancellations
from ..utils.containment import let_through
from ..utils.signal import Signal
from ..voice.recording import Recorder, record
from .actions import Actions, Threads
from .audio import AudioLink
from .function_calls import FunctionCalls
from .outbox import Answers
from .reconfigure import Settings
from .services import OpenService
from .task_context import Home
from .turns import Dialogue
from .workers import Workers

__all__ = ("LiveSession", "Shared")

log = logging.getLogger("rtvi_plugins")


#: What an end means to the WebSocket: 1000 normal, 1008 policy, 1011 a failure of ours.
_CLOSE_CODES: Mapping[str, int] = {
    "": 1000,
    SessionIdle.code: 1008,
    SessionTooLong.code: 1008,
    SlowClient.code: 1008,
    RateLimited.code: 1008,
}


@frozen(eq=False)
class Shared:
    """What the sessions of one host have in common."""

    offers: Offers
    #: What the bot grants to its LLM, as the offers are what it grants to clients.
    functions: Offers
    hooks: Hooks
    limits: Limits
    clock: Clock
    threads: Threads
    #: The folder that sessions are recorded in, if they are.
    record: Path | None = None


class Handle:
    """A service as a bot holds it: whoever fills it now, or did when the turn began."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], OpenService]) -> None:
        self._find = find

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """That of who fills it, so that a bot can ask for what only some providers have, with `isinstance`."""
        return cast("type[object]", type(self._find().live))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._find().alive(), name)


def _with_words(content: str | list[dict[str, Any]] | None, more: str) -> str | list[dict[str, Any]]:
    """A message's content with words at its end, whichever form it has."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": more}]
    return f"{content} {more}" if content else more


@final
class LiveSession(Session):
    """A session as it runs. To a server it is the connection: `receive`, `outgoing`, `disconnected`."""

    def __init__(self, id: str, shared: Shared, plan: StartPlan) -> None:
        self.id = id
        self.context = Context()
        self.start_data = plan.start_data
        self.clock = shared.clock
        self.vad_params = VADParams()
        self.single_turn = False
        self.close_code, self.close_reason = 1000, ""
        #: Called once when the session ends, for a server that may be stuck in sending.
        self.on_end: Callable[[], None] | None = None
        self._shared = shared
        limits, clock = shared.limits, shared.clock
        config = Config(plan.values)
        self._protocol = RTVIProtocol(shared.offers.get(plan.providers, plan.grants), config, limits, clock.now())
        self._answers = Answers(self._protocol, limits, self._overflow)
        self._dialogue = Dialogue(limits, self.context, self.emit, self._tell_transcript)
        self._calls = FunctionCalls(clock, limits, self.emit)
        self._settings = Settings(
            session=self,
            plan=plan,
            config=config,
            protocol=self._protocol,
            answers=self._answers,
            dialogue=self._dialogue,
            hooks=shared.hooks,
            offers=shared.offers,
            limits=limits,
            end=self.end,
        )
        self._actions: Actions | None = None
        self._began = Signal()
        self._tasks: TaskGroup | None = None
        self._timer: Timer | None = None
        self._armed = math.inf
        self._ends = self._heard = clock.now()
        self._ended_with = ""
        self._ending = False
        self._recorder: Recorder | None = None
        self._home: AbstractContextManager[None] = nullcontext()

    # ---- the life of a session -------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[RequestError | None]) -> None:
        """Open the services, run the bot once the client is ready, close everything.

        `task_status` is told None when the client may come, or why it may not; that waits for nothing to be closed.
        """
        self._home = Home()
        async with anyio.create_task_group() as keepers:
            try:
                failed = await self._settings.open(keepers)
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

    async def _shut(self) -> None:
        self._end("", "")
        await self._settings.close()
        if self._actions is not None:
            self._tell("session_closed", reason=self._ended_with)

    @property
    def unclosed(self) -> list[str]:
        """The names of services that were to close, were cancelled, and have not ended."""
        return self._settings.unclosed

    async def _serve(self, task_status: TaskStatus[RequestError | None]) -> None:
        """Let the client in, and stay until the session ends: that cancels everything in here."""
        async with anyio.create_task_group() as self._tasks:
            shared, workers = self._shared, Workers(self._tasks)
            self._settings.serve(self._tasks, workers)
            self._actions = Actions(
                session=self,
                protocol=self._protocol,
                answers=self._answers,
                workers=workers,
                hooks=shared.hooks,
                limits=shared.limits,
                threads=shared.threads,
                find=lambda service: self._settings.live[service],
            )
            self._tell("session_opened")
            task_status.started(None)
            await self._began.wait()
            await checkpoint_if_cancelled()  # the client may be gone already
            async with self._recorded():
                await self._run_bot()
                self._dialogue.stop_listening()
                await anyio.sleep_forever()

    @asynccontextmanager
    async def _recorded(self) -> AsyncGenerator[None]:
        """Record what is said, if the operator wants it recorded."""
        folder = self._shared.record
        if folder is None:
            yield
            return
        async with AsyncExitStack() as recording:
            try:
                recorder = await recording.enter_async_context(record(folder, self.id, now=self.clock.now))
                if self._dialogue.audio is not None:
                    self._dialogue.audio.record(recorder)
                self._recorder = recorder
            except AuthorError as error:  # a session that cannot be recorded is a session
                log.error("session %s is not recorded: %s", self.id, error)
            yield

    async def _run_bot(self) -> None:
        """Run the bot's function. It may return and leave the session to the client; if it raises, that is the end."""
        bot = self._settings.registry.bot
        handles = {name: Handle(partial(self._serving, name)) for name in bot.services}
        try:
            await bot.function(self, **handles)
        except BaseException as error:
            let_through(error, *cancellations())
            report(where(bot.function), error)
            self.end(BotFailed("The bot failed, and the session is over."))

    def _serving(self, service: str) -> OpenService:
        """Who fills a service: within a turn, whoever did when it began."""
        turn = self._dialogue.current
        return (turn.live if turn is not None else self._settings.live)[service]

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._answers.closed

    @property
    def closing(self) -> bool:
        return self._dialogue.closing

    def close(self, reason: str = "", *, now: bool = False) -> None:
        end = partial(self._end, "", reason)
        if now:
            end()
        else:
            self._end_when_heard(end)

    def _end_when_heard(self, end: Callable[[], None]) -> None:
        """End the session once what is being said was heard or shown, or took longer than `Limits.goodbye_seconds`."""
        if self.closed or self.closing:
            return
        if self._tasks is None or self._dialogue.is_idle:
            return end()
        self._dialogue.closing = True
        timer = self.clock.call_at(self.clock.now() + self._shared.limits.goodbye_seconds, end)
        self._tasks.start_soon(self._end_when_idle, end, timer)
        return None

    async def _end_when_idle(self, end: Callable[[], None], timer: Timer) -> None:
        await self._dialogue.idle()
        timer.cancel()
        end()

    def end(self, error: RequestError) -> None:
        """End the session for a reason that the client is told as a fatal error."""
        self._answers.tell(error, fatal=True)
        self._end(error.code, error.message)

    def _end(self, code: str, reason: str) -> None:
        """The end, once: every pending request is answered, and what runs is cancelled."""
        if self.closed or self._ending:
            return
        self._ending = True
        self.close_code, self.close_reason = _CLOSE_CODES.get(code, 1011), reason
        self._ended_with = code
        self._dialogue.stop_listening()
        if self._dialogue.audio is not None:
            self._dialogue.audio.close()
        for request in list(self._protocol.requests.pending.values()):
            self._answers.fail(request, SessionClosed("The session has ended."))
        if self._actions is not None:
            self._actions.end()
        self._answers.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        if self.on_end is not None:
            self.on_end()

    # ---- the connection --------------------------------------------------------------------------------------------

    def receive(self, text: str) -> None:
        """Take a text from the client. Every request in it gets its answer in `outgoing`, sooner or later."""
        if self.closed:
            return
        self._heard = now = self._shared.clock.now()
        with self._home:
            try:
                operation = self._protocol.receive(text, now)
                if operation is not None:
                    self._carry_out(operation)
            except BaseException as error:
                let_through(error)
                report("the framework", error)
                self.end(InternalError("The framework failed; please report this."))
            if self._protocol.requests.pending:
                newest = next(reversed(self._protocol.requests.pending.values()))
                if newest.due < self._armed:
                    self._arm(newest.due)
        if self._protocol.rate.flooded:
            self._flooded()

    def charge(self, size: int) -> bool:
        """Count a frame of `size` bytes that the client has sent, whatever it holds; call it before `receive`.

        Return False when the session has ended, also because the client goes on to send more than the limits allow.
        """
        if not self.closed:
            rate = self._protocol.rate
            rate.take_frame(size, self._shared.clock.now())
            if rate.flooded:
                self._flooded()
        return not self.closed

    @property
    def flooded(self) -> bool:
        """Whether the session has ended because the client sent far too much."""
        return self._ended_with == RateLimited.code

    def _flooded(self) -> None:
        with self._home:
            self.end(RateLimited("The client went on sending far more than the session accepts."))

    def open_audio(self, output_rate: int, *, hush: Callable[[], None] = lambda: None) -> None:
        """The transport carries audio. Call it before the client's first message is received.

        What the bot says then comes from `outgoing` as well: 16-bit mono frames of 20 ms at `output_rate` Hz, in real
        time. `hush` is called when the bot is interrupted, for a transport that holds frames back.
        """
        if self._dialogue.audio is None:
            answers = self._answers
            self._dialogue.audio = AudioLink(
                output_rate,
                self.clock,
                emit=self.emit,
                ahead=self._shared.limits.audio_seconds,
                put=answers.put_audio,
                take_back=answers.take_back_audio,
                hush=hush,
                too_fast=self._audio_too_fast,
                unusable=self._audio_unusable,
            )

    def _audio_unusable(self, sentence: str) -> None:
        """Report audio that is not heard."""
        error = UnusableAudio(sentence)
        log.warning("session %s: %s", self.id, error.message)
        self._answers.tell(error, fatal=False)

    def _audio_too_fast(self, rate: int) -> None:
        """Report audio that is dropped. The usual cause is a client that labels it with a lower rate than it has."""
        error = RateLimited(
            f"Audio that says it has {rate} Hz comes faster than real time, so some of it is dropped. Send the rate at "
            "which it is recorded; with the published WebSocket transport, use new WavMediaManager(512, 16000)."
        )
        log.warning("session %s: %s", self.id, error.message)
        self._answers.tell(error, fatal=False)

    def receive_audio(self, audio: Audio) -> None:
        """Take what the user says, of any rate. Never blocks, never raises."""
        if self._dialogue.audio is not None and not self.closed and not self._protocol.rate.in_debt:
            self._heard = self.clock.now()
            with self._home:
                self._dialogue.audio.receive(audio)

    def refuse_audio(self, sentence: str) -> None:
        """Report audio that the transport cannot read, once, to a client that is ready."""
        if self._dialogue.audio is not None and not self.closed and self._protocol.ready:
            self._dialogue.audio.refuse("transport", sentence)

    def microphone(self, enabled: bool) -> None:
        """The client has switched its microphone. Where a transport does not tell, its silence does."""
        if self._dialogue.audio is not None and not self.closed:
            with self._home:
                self._dialogue.audio.microphone(enabled)

    async def outgoing(self) -> Sequence[str | Audio]:
        """What is to be sent next, in order: texts, and audio once it is open. Empty when the session has ended."""
        return await self._answers.take()

    def take(self) -> Sequence[str | Audio]:
        """Return what is to be sent now, in order; empty when there is nothing. See `on_sendable`."""
        return self._answers.take_now()

    @property
    def on_sendable(self) -> Callable[[], None] | None:
        """A function that is called when `take` has something to give, once after each call of `take`.

        It is for a transport that has no task to wait in `outgoing`. The function is called also when the session
        ends; `closed` is true then.
        """
        return self._answers.on_sendable

    @on_sendable.setter
    def on_sendable(self, callback: Callable[[], None] | None) -> None:
        self._answers.on_sendable = callback

    def disconnected(self) -> None:
        """The client is gone."""
        with self._home:
            self._end("", "the client has left")
        self._answers.drop()

    async def idle(self) -> None:
        """Wait until the bot is saying nothing, and nothing waits to be answered, or until the session has ended."""
        await self._dialogue.idle()

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer, a long action runs, or something is being said or waits to be."""
        jobs = self._actions is not None and bool(self._actions.jobs)
        return jobs or bool(self._protocol.requests.pending) or not self._dialogue.is_idle

    def claimed(self) -> None:
        """A client has come: the session's time begins."""
        self._heard = now = self._shared.clock.now()
        self._ends = now + self._shared.limits.session_seconds
        self._arm(self._session_due())

    def _overflow(self) -> None:
        self.end(SlowClient("The client does not read what is sent to it."))

    # ---- deadlines -------------------------------------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        """See to it that the timer fires no later than this. One timer looks after everything that falls due."""
        if self.closed or due >= self._armed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed = self._shared.clock.call_at(due, self._tick), due

    def _session_due(self) -> float:
        return math.inf if self.closing else min(self._ends, self._heard + self._shared.limits.idle_seconds)

    def _tick(self) -> None:
        now, limits = self._shared.clock.now(), self._shared.limits
        self._armed = math.inf
        if now >= self._ends:
            length = f"The session has reached its greatest length, {limits.session_seconds:g} s."
            self._end_when_heard(partial(self.end, SessionTooLong(length)))
        elif now >= self._heard + limits.idle_seconds:
            silence = f"The client sent nothing for {limits.idle_seconds:g} s."
            self._end_when_heard(partial(self.end, SessionIdle(silence)))
        if self.closed:
            return None
        for request in [each for each in self._protocol.requests.pending.values() if each.due <= now]:
            self._expire(request)
        dues = (each.due for each in self._protocol.requests.pending.values())
        return self._arm(min((*dues, self._session_due())))

    def _expire(self, request: Request) -> None:
        """Answer a request that took too long, without waiting for its function to unwind."""
        begun, waits = "It may or may not have taken effect.", "The client has not sent client-ready."
        hint = begun if self._protocol.ready else waits
        self._answers.fail(request, ActionTimeout(f"The request was not finished in time. {hint}"))
        if request.job is not None:
            request.job.cancel()

    # ---- carrying out operations -----------------------------------------------------------------------------------

    def _carry_out(self, operation: Operation) -> None:
        match operation:
            case CallAction():
                assert self._actions is not None
                self._actions.start(operation)
            case Reply():
                self._answers.put(operation.text)
            case UpdateConfig():
                self._settings.update(operation)
            case ClientReady():
                self._ready(operation)
            case SubmitText():
                self._feed(operation)
            case FunctionResult():
                self._take_result(operation)
            case Disconnect():
                self._end("", "the client asked the bot to leave")

    def _ready(self, operation: ClientReady) -> None:
        self._answers.put(operation.text)
        self._began.set()
        for waited in self._protocol.release():
            self._carry_out(waited)
        self._arm(min((each.due for each in self._protocol.requests.pending.values()), default=math.inf))

    def _take_result(self, operation: FunctionResult) -> None:
        if not self._calls.answered(operation.call, operation.result):
            text = f"no function call {operation.call[:80]!r} is pending: it was answered, or given up."
            self._answers.refuse(operation.id, UnknownFunctionCall([Problem("$.data.tool_call_id", text)]))

    def _feed(self, operation: SubmitText) -> None:
        try:
            self.submit(operation.input)
        except RequestError as error:
            self._answers.refuse(operation.id, error)

    # ---- what bots and actions may know and do ---------------------------------------------------------------------

    @property
    def has_audio(self) -> bool:
        return self._dialogue.audio is not None

    def listening(self, listener: Listener) -> AbstractContextManager[None]:
        audio = self._dialogue.audio
        return nullcontext() if audio is None else audio.listening(listener)

    @property
    def client(self) -> ClientInfo:
        return self._protocol.client

    @property
    def providers(self) -> Mapping[str, str]:
        return self._settings.offer.providers

    def config(self, service: str) -> Mapping[str, Any]:
        return dict(self._settings.config.values[service])

    def emit(self, event: Event) -> None:
        if self._protocol.ready:
            for type, data in serialize(event, self._protocol.client.version):
                self._answers.send(type, data)

    def send(self, data: Any) -> None:
        self._answers.send("server-message", carried(data))

    def fail(self, error: ProviderError) -> None:
        self._answers.tell(for_client(error) or ProviderFailed("A provider has failed."), fatal=False)

    def remember(self, *messages: Message) -> None:
        self.context.append(*messages)
        self._tell_transcript(messages)

    def amend(self, message: Message, more: str) -> bool:
        if not self.context.amend(message, _with_words(message["content"], more)):
            return False
        self._tell_transcript([{"role": message["role"], "content": more}])
        return True

    def _tell_transcript(self, messages: Sequence[Message]) -> None:
        for message in messages:
            text, role = message.get("content"), message["role"]
            if isinstance(text, str) and role in ("user", "assistant"):
                interrupted = message.get("interrupted", False)
                if self._recorder is not None:
                    self._recorder.said(self.clock.now(), role, text, interrupted)
                self._tell("transcript", role=role, text=text, interrupted=interrupted)

    def progress(self, data: Any) -> None:
        assert self._actions is not None
        self._actions.progress(data)

    def cancel_job(self, job: str) -> bool:
        return self._actions is not None and self._actions.cancel(job)

    @property
    def functions(self) -> Sequence[Function]:
        own = self._own_functions
        asked = () if self.single_turn else self.context.functions
        theirs = (each for each in asked if each["name"] not in own.functions)
        return (*own.described_functions, *theirs)

    async def call_function(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> Any:
        call = self.begin_call(name, arguments, id=id)
        try:
            return await call.result()
        finally:
            call.leave(lambda _: None)

    def begin_call(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> FunctionCall:
        if not isinstance(cast(object, arguments), Mapping):
            found = type(arguments).__name__
            raise TypeError(f"The arguments of the function {name!r} are a mapping of values by name, not a {found}.")
        own = self._own_functions.functions.get(name)
        if own is None:
            if self.single_turn:
                raise FunctionCallFailed(f"The client is not connected, so it cannot carry out {name!r}.")
            return self._calls.ask_client(name, arguments, id)
        assert self._actions is not None
        assert self._tasks is not None
        return self._calls.carry_out(own.spec, id, partial(self._actions.call, own, arguments), self._tasks)

    @property
    def _own_functions(self) -> Offer:
        """What the bot grants its LLM, with the providers in force."""
        return self._shared.functions.get(self.providers)

    def submit(self, input: Input) -> None:
        self._dialogue.submit(input)

    def inputs(self) -> AsyncIterator[Input]:
        return self._dialogue.inputs()

    def turn(self, *, interruptible: bool = True) -> AbstractAsyncContextManager[Turn]:
        boundary = self._settings.turn_boundary
        return self._dialogue.turn(lambda: self._settings.live, boundary, interruptible=interruptible)

    def interrupt(self) -> bool:
        return self._dialogue.interrupt()

    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        await self._settings.switch(service, provider, interrupt=interrupt)

    def _tell(self, hook: str, **facts: Any) -> None:
        self._shared.hooks.tell(hook, session=self, **facts)
