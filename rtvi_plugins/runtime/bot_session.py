"""A session as bots, actions and options functions see it, made of the parts that the runtime works with.

The module has more than 300 lines because it is one class, which implements the interface of `rtvi_plugins.session`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast, final, overload

import anyio
from attrs import define, evolve, field

from ..clock import Timer
from ..context import Context, Function, Message
from ..declare.specs import StateSpec
from ..declare.to_json import to_checked_json
from ..declare.types import check
from ..errors import (
    AuthorError,
    BotError,
    FunctionCallFailed,
    ProviderError,
    ProviderFailed,
    RequestError,
    SessionClosed,
    SlowClient,
    report,
    unknown,
)
from ..events import Event, FunctionCallStarted, Metrics, serialize
from ..kinds import Audio
from ..protocol.config import SessionConfig
from ..protocol.offer import Offer
from ..protocol.start_request import StartRequest
from ..protocol.state_machine import RTVIProtocol
from ..security import LogThrottle
from ..session import (
    Alternatives,
    ClientInfo,
    FunctionCall,
    Input,
    Listener,
    Persona,
    RunLLM,
    Say,
    Session,
    Turn,
    VADParams,
)
from ..utils.error_texts import where
from ..utils.json_values import frozen_json, plain_json
from ..utils.names import nearest
from ..utils.plugin_calls import reraise_control_flow
from ..utils.unspaced_scripts import join_texts
from ..utils.waiting import Iteration, cancellation_classes, clear_stray_cancellation
from .actions import Actions
from .client_errors import as_request_error
from .failover import Failovers, alternatives_of
from .function_calls import FunctionCalls
from .live_services import LiveServices
from .outbox import Outbox
from .reconfigure import ConfigUpdates
from .services import Handle
from .session_core import SessionCore, Shared
from .session_end import SessionEnd
from .turns import Turns

__all__ = ("BotSession", "SessionParts")


log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class SessionParts(SessionCore):
    """The core of one session, with the parts that work with it."""

    end: SessionEnd = field(init=False)
    services: LiveServices = field(init=False)
    updates: ConfigUpdates = field(init=False)
    failovers: Failovers = field(init=False)
    actions: Actions = field(init=False)
    calls: FunctionCalls = field(init=False)


@final
@define(eq=False)
class _FunctionListener(Listener):
    """A listener that is a function."""

    function: Callable[[Audio], None]

    def hear(self, audio: Audio) -> None:
        self.function(audio)


@final
class BotSession(Session[Any]):
    """The session of one client."""

    def __init__(self, id: str, shared: Shared, start: StartRequest, stop: Callable[[], None]) -> None:
        self.id = id
        self.context = Context(shared.limits.context_size)
        self.start_data = start.start_data
        self.clock = shared.clock
        self.vad_params = VADParams()
        self.single_turn = False
        self.persona: Persona | None = None
        self.resumed = False
        self._functions, self._old_names = shared.functions, shared.old_names
        self._state: Any = None
        self._provider_failures: dict[tuple[str | None, str | None], LogThrottle] = {}
        self._observes_events = shared.hooks.is_implemented("event_emitted")
        limits, config = shared.limits, SessionConfig(start.values)
        offer = shared.offers.get(start.providers, start.grants)
        protocol = RTVIProtocol(offer, config, limits, shared.clock.now(), self._old_name_used)
        outbox = Outbox(protocol, limits, self._overflow, self._error_reported)
        turns = Turns(self.context, limits.in_flight, self.emit, self._report_transcript)
        parts = self._parts = SessionParts(self, start, shared, config, protocol, outbox, turns)
        parts.end = SessionEnd(parts, stop)
        parts.services = LiveServices(parts)
        parts.updates = ConfigUpdates(parts, parts.services, parts.end.fail)
        parts.failovers = parts.updates.failovers
        present = parts.failovers.present
        handles = {name: Handle(partial(present, name)) for name in shared.offers.registry.bot.services}
        parts.actions = Actions(parts, parts.failovers, handles)
        parts.calls = FunctionCalls(parts)

    @classmethod
    def create(
        cls, id: str, shared: Shared, start: StartRequest, stop: Callable[[], None]
    ) -> tuple[BotSession, SessionParts]:
        """Return a session, and its parts. `stop` stops everything that runs in the session, when it ends."""
        session = cls(id, shared, start, stop)
        return session, session._parts

    def _overflow(self) -> None:
        error = SlowClient("The client does not read what is sent to it.")
        log.warning("session %s: %s", self.id, error.message, extra={"session": self.id, "code": error.code})
        self._parts.end.fail(error)

    def _error_reported(self, error: RequestError) -> None:
        provider, category = None, None
        if isinstance(error, ProviderFailed):
            provider, category = error.provider, error.category
            if not error.is_logged:
                self._log_provider_failure(error)
        self._parts.shared.hooks.notify(
            "error_reported", session=self, code=error.code, provider=provider, category=category
        )

    def _log_provider_failure(self, error: ProviderFailed) -> None:
        """Log it once a minute for each provider and category, because a client can ask for it again and again."""
        kind = error.provider, error.category
        failures = self._provider_failures.setdefault(kind, LogThrottle(log, self.clock.now))
        if (suppressed := failures.next_line()) is not None:
            sentence, category = error.message.removesuffix("."), error.category or error.code
            about = {"session": self.id, "code": error.code}
            log.warning("session %s: %s (%s)%s", self.id, sentence, category, suppressed, extra=about)

    def _old_name_used(self, name: str) -> None:
        self._old_names.used(self.client, self.start_data, name)

    # ---- the client and its config ---------------------------------------------------------------------------------

    @property
    def client(self) -> ClientInfo:
        return self._parts.protocol.client

    @property
    def providers(self) -> Mapping[str, str]:
        services = self._parts.shared.offers.registry.services
        chosen = self._parts.protocol.offer.providers
        serving = {name: each.provider.label for name, each in self._parts.failovers.serving.items()}
        return {name: label for name, label in {**chosen, **serving}.items() if not services[name].is_own}

    @overload
    def config(self) -> Mapping[str, Mapping[str, Any]]: ...
    @overload
    def config(self, service: str) -> Mapping[str, Any]: ...
    def config(self, service: str | None = None) -> Mapping[str, Any]:
        values = self._parts.config.values
        if service is not None and service not in values:
            raise BotError(f"session.config(): {unknown('service', service, values).message}")
        return cast("Mapping[str, Any]", frozen_json(values if service is None else values[service]))

    @overload
    async def configure(self, service: str, /, *, interrupt: bool = ..., **options: Any) -> None: ...
    @overload
    async def configure(self, config: Mapping[str, Mapping[str, Any]], /, *, interrupt: bool = ...) -> None: ...
    async def configure(
        self, service: str | Mapping[str, Mapping[str, Any]], /, *, interrupt: bool = False, **options: Any
    ) -> None:
        if self._parts.end.closed:
            raise SessionClosed("The session has ended.")
        sent: Mapping[str, Mapping[str, Any]]
        if isinstance(service, str):
            sent = {service: options}
        elif options:
            raise TypeError(f"configure() takes options by service, or as arguments ({', '.join(options)}), not both.")
        else:
            sent = service
        await self._parts.updates.configure(plain_json(to_checked_json(sent)), interrupt=interrupt)

    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        await self.configure(service, provider=provider, interrupt=interrupt)

    def alternatives(self, service: object) -> Alternatives:
        handles = self._parts.actions.handles
        name = next((name for name, handle in handles.items() if handle is service or name == service), None)
        return alternatives_of(self._parts.failovers, name)

    # ---- the bot's own state ---------------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        declared = self._declared_state()
        if self._state is None:
            self._state = declared.make()
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        declared = self._declared_state()
        if not isinstance(value, declared.object_class):
            wanted, found = declared.cls.__name__, type(value).__name__
            raise TypeError(f"The state of this session is of the class {wanted}, not {found}.")
        self._state = value

    def state_json(self) -> Any:
        """Return the state as JSON; None if the bot has none, or has not used it yet. Raise `TypeError` for others."""
        return None if self._state is None else to_checked_json(self._state)

    def restore_state(self, saved: Any) -> None:
        """Set the state from its JSON. If it does not fit the class, as after a new release, begin anew and log it."""
        declared = self._parts.shared.offers.registry.bot.state
        if declared is None:
            return
        state, problems = check(declared.shape, saved)
        if problems:
            text = "session %s begins with a new state: %s: %s"
            log.error(text, self.id, problems[0].path, problems[0].message, extra={"session": self.id})
        else:
            self._state = state

    def _declared_state(self) -> StateSpec:
        bot = self._parts.shared.offers.registry.bot
        if bot.state is None:
            raise RuntimeError(
                f"{where(bot.function)} declares no state. Write @bot(state=…) with the class of the state."
            )
        return bot.state

    # ---- messages --------------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        given = cast(object, event)  # also from authors without a type checker
        if not isinstance(given, Event):
            found = given.__class__.__name__
            raise TypeError(f"An event is one of those in rtvi_plugins.events, not a {found}. Write emit(Metrics(…)).")
        if self._observes_events:
            if isinstance(event, Metrics):
                event = self._with_provider(event)
            self._parts.shared.hooks.notify("event_emitted", session=self, event=event)
        if self._parts.protocol.ready:
            if self._parts.reports_functions and isinstance(event, FunctionCallStarted):
                event = evolve(event, by_client=True)  # its messages are those with the arguments
            for type, data in serialize(event, self._parts.protocol.client.version):
                self._parts.outbox.send(type, data)

    def _with_provider(self, measured: Metrics) -> Metrics:
        """Name the provider that serves in the present turn. The config may already have the one of the next turn."""
        service = measured.processor
        if measured.provider is not None or service not in self.providers:
            return measured
        return evolve(measured, provider=self._parts.failovers.present(service).provider.label)

    def send(self, data: Any) -> None:
        self._parts.outbox.send("server-message", to_checked_json(data))

    def fail(self, error: ProviderError | RequestError) -> None:
        self._parts.outbox.report(as_request_error(error) or ProviderFailed("A provider has failed."), fatal=False)

    def progress(self, data: Any) -> None:
        self._parts.actions.progress(data)

    def cancel_job(self, job: str) -> bool:
        return self._parts.actions.cancel(job)

    # ---- the context -----------------------------------------------------------------------------------------------

    def remember(self, *messages: Message, before: Message | None = None) -> None:
        if self._parts.end.moved:
            return  # the other process remembers it
        self.context.append(*messages, before=before)
        self._report_transcript(messages)

    def amend(self, message: Message, more: str) -> bool:
        if not self.context.amend(message, _with_words(message["content"], more)):
            return False
        self._report_transcript([{"role": message["role"], "content": more}])
        return True

    def _report_transcript(self, messages: Sequence[Message]) -> None:
        parts = self._parts
        for message in messages:
            text, role = message.get("content"), message["role"]
            if isinstance(text, str) and role in ("user", "assistant"):
                interrupted = message.get("interrupted", False)
                if parts.recorder is not None:
                    parts.recorder.said(self.clock.now(), role, text, interrupted)
                if parts.history is not None:
                    parts.history.said(role, text, interrupted)
                parts.shared.hooks.notify("transcript", session=self, role=role, text=text, interrupted=interrupted)

    # ---- functions -------------------------------------------------------------------------------------------------

    @property
    def functions(self) -> Sequence[Function]:
        allowed = None if self.persona is None else self.persona.functions
        return [each for each in self._all_functions if allowed is None or each["name"] in allowed]

    @property
    def _all_functions(self) -> Sequence[Function]:
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
        if own is not None:
            return self._parts.calls.run_action(
                own.spec, arguments, id, partial(self._parts.actions.call, own, arguments)
            )
        if self.single_turn:
            raise FunctionCallFailed(f"The client is not connected, so it cannot run {name!r}.{self._hint(name)}")
        if hint := self._hint(name):
            # A client may run functions that it has not offered, so it is asked all the same.
            text = "session %s: neither the bot nor the client has declared the function %r. The client is asked.%s"
            log.warning(text, self.id, name, hint, extra={"session": self.id})
        return self._parts.calls.ask_client(name, arguments, id)

    def _hint(self, name: str) -> str:
        """Return a known function that is meant instead of an unknown one, as a sentence."""
        known = [each["name"] for each in self._all_functions]
        near = None if name in known else nearest(name, known)
        return f" Did you mean {near!r}?" if near is not None else ""

    @property
    def _own_functions(self) -> Offer:
        """Return the bot's own actions that it grants to its LLM, with the providers in use."""
        return self._functions.get(self._parts.protocol.offer.providers)

    # ---- the conversation ------------------------------------------------------------------------------------------

    @property
    def has_audio(self) -> bool:
        return self._parts.turns.audio is not None

    @property
    def hears_audio(self) -> bool:
        return self._parts.audio_input is not None

    def listening(self, listener: Listener | Callable[[Audio], None]) -> AbstractContextManager[None]:
        if self._parts.audio_input is None:
            return nullcontext()
        listens = listener if isinstance(listener, Listener) else _FunctionListener(listener)
        return self._parts.audio_input.listening(listens)

    def submit(self, input: Input) -> None:
        self._parts.turns.submit(input)

    def inputs(self) -> AsyncIterator[Input]:
        return Iteration(self._parts.turns.inputs.next)

    def turn(self, *, interruptible: bool = True) -> AbstractAsyncContextManager[Turn]:
        failovers, boundary = self._parts.failovers, self._parts.updates.turn_boundary
        return self._parts.turns.turn(lambda: failovers.in_use, boundary, interruptible=interruptible)

    def interrupt(self) -> bool:
        return self._parts.turns.interrupt()

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        if _closed_coroutine(function):
            raise AuthorError(
                "session.start_soon takes a function and its arguments: write start_soon(function, x), not "
                "start_soon(function(x))."
            )
        if self._parts.end.closed:
            raise SessionClosed("The session has ended.")
        if self._parts.tasks is None:
            raise RuntimeError("The services of the session are opening, and it runs nothing yet.")
        self._parts.tasks.start_soon(self._run, function, args)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, object]], args: tuple[object, ...]) -> None:
        try:
            await function(*args)
        except BaseException as error:
            reraise_control_flow(error, *cancellation_classes())
            report(where(function), error)
        await clear_stray_cancellation()

    async def hand_over(self, persona: Persona, *, keep_context: bool = True, interrupt: bool = False) -> None:
        known, turns = [each["name"] for each in self._all_functions], self._parts.turns
        for name in persona.functions or ():
            if name not in known:
                raise AuthorError(f"Persona(functions=…): {unknown('function', name, known).message}")
        first = persona.greeting if isinstance(persona.greeting, Say) else Say(persona.greeting)
        input = first if first.text else RunLLM()
        turns.inputs.check(input)
        if persona.config:
            await self.configure(persona.config, interrupt=interrupt)
        elif interrupt:
            self.interrupt()
        if not keep_context:
            prompts = [each for each in self.context.messages[:1] if each["role"] in ("system", "developer")]
            self.context.replace(prompts)
        if persona.prompt is not None:
            self.context.set_prompt(persona.prompt)
        self.persona = evolve(persona)  # a running turn sees the change also if it is the same persona
        is_asked = isinstance(input, RunLLM) and turns.inputs.wants_answer
        if not self.single_turn and not is_asked:  # nobody hears a first turn there, as with a greeting
            self.submit(input)

    async def spoken(self) -> bool:
        if self._parts.calls.is_awaited(anyio.get_current_task().id):
            raise AuthorError(
                "session.spoken() waits for the end of the turn, and the turn waits for this function. "
                "Return, and call it in a task: session.start_soon(…)."
            )
        return await self._parts.turns.spoken()

    def call_after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        parts = self._parts
        if inspect.iscoroutinefunction(callback) or _closed_coroutine(callback):
            raise AuthorError(_NOT_AWAITED)

        def call() -> None:
            if parts.end.closing or parts.end.closed:
                return
            try:
                if _closed_coroutine(callback()):  # type: ignore[func-returns-value]
                    raise AuthorError(_NOT_AWAITED)
            except BaseException as error:
                reraise_control_flow(error)
                report(where(callback), error)

        timer = self.clock.call_after(seconds, call)
        parts.timers = [*(each for each in parts.timers if each.callback is not None), timer]
        return timer

    @property
    def closing(self) -> bool:
        return self._parts.end.closing

    def close(self, reason: str = "", *, now: bool = False) -> None:
        self._parts.end.close(reason, now=now)


_NOT_AWAITED = (
    "session.call_after does not await what it calls. Write "
    "session.call_after(seconds, lambda: session.start_soon(function))."
)


def _closed_coroutine(given: object) -> bool:
    """Return whether this is a coroutine. If so it is closed, because nobody awaits it."""
    if inspect.iscoroutine(given):
        given.close()
        return True
    return False


def _with_words(content: str | list[dict[str, Any]] | None, more: str) -> str | list[dict[str, Any]]:
    """Return a message's content, whichever form it has, with words added at its end."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": more}]
    return join_texts((content or "", more))
