"""A session as bots, actions and options functions see it, made of the parts that the runtime works with."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast, final

from ..context import Context, Function, Message
from ..declare.json_form import to_checked_json
from ..errors import FunctionCallFailed, ProviderError, ProviderFailed, SlowClient
from ..events import Event, serialize
from ..protocol.config import SessionConfig
from ..protocol.offer import Offer
from ..protocol.protocol import RTVIProtocol
from ..protocol.start import StartRequest
from ..session import ClientInfo, FunctionCall, Input, Listener, Session, Turn, VADParams
from ..utils.iteration import Iteration
from ..voice.recording import Recorder
from .actions import Actions
from .audio_input import AudioInput
from .client_errors import as_request_error
from .ending import Ending
from .function_calls import FunctionCalls
from .outbox import Outbox
from .reconfigure import LiveServices
from .shared import Shared
from .turns import Turns

__all__ = ("BotSession",)

log = logging.getLogger("rtvi_plugins")


@final
class BotSession(Session):
    """The session of one client. The attributes that `Session` does not have are for the runtime.

    `stop` stops everything that runs in the session, when it ends.
    """

    def __init__(self, id: str, shared: Shared, start: StartRequest, stop: Callable[[], None]) -> None:
        self.id = id
        self.context = Context(shared.limits.context_size)
        self.start_data = start.start_data
        self.clock = shared.clock
        self.vad_params = VADParams()
        self.single_turn = False
        self.hooks = shared.hooks
        self._functions = shared.functions
        limits, config = shared.limits, SessionConfig(start.values)
        offer = shared.offers.get(start.providers, start.grants)
        self.protocol = RTVIProtocol(offer, config, limits, shared.clock.now())
        self.outbox = Outbox(self.protocol, limits, self._overflow)
        self.turns = Turns(self.context, limits.in_flight, self.emit, self._report_transcript)
        self.ending = Ending(shared.clock, self.turns, self.outbox, limits.goodbye_seconds, stop)
        #: The user's audio, if the client's transport carries any.
        self.audio_input: AudioInput | None = None
        self.recorder: Recorder | None = None
        self.calls = FunctionCalls(shared.clock, limits, self.emit)
        self.services = LiveServices(
            session=self,
            start=start,
            config=config,
            protocol=self.protocol,
            outbox=self.outbox,
            turns=self.turns,
            hooks=shared.hooks,
            offers=shared.offers,
            limits=limits,
            end=self.ending.fail,
        )
        self.actions = Actions(
            session=self,
            protocol=self.protocol,
            outbox=self.outbox,
            hooks=shared.hooks,
            limits=limits,
            threads=shared.threads,
            find=lambda service: self.services.live[service],
        )

    def _overflow(self) -> None:
        error = SlowClient("The client does not read what is sent to it.")
        log.warning("session %s: %s", self.id, error.message)
        self.ending.fail(error)

    # ---- the client and its config ---------------------------------------------------------------------------------

    @property
    def client(self) -> ClientInfo:
        return self.protocol.client

    @property
    def providers(self) -> Mapping[str, str]:
        return self.services.offer.providers

    def config(self, service: str) -> Mapping[str, Any]:
        return dict(self.services.config.values[service])

    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        await self.services.switch(service, provider, interrupt=interrupt)

    # ---- messages --------------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        if self.protocol.ready:
            for type, data in serialize(event, self.protocol.client.version):
                self.outbox.send(type, data)

    def send(self, data: Any) -> None:
        self.outbox.send("server-message", to_checked_json(data))

    def fail(self, error: ProviderError) -> None:
        self.outbox.report(as_request_error(error) or ProviderFailed("A provider has failed."), fatal=False)

    def progress(self, data: Any) -> None:
        self.actions.progress(data)

    def cancel_job(self, job: str) -> bool:
        return self.actions.cancel(job)

    # ---- the context -----------------------------------------------------------------------------------------------

    def remember(self, *messages: Message) -> None:
        self.context.append(*messages)
        self._report_transcript(messages)

    def amend(self, message: Message, more: str) -> bool:
        if not self.context.amend(message, _with_words(message["content"], more)):
            return False
        self._report_transcript([{"role": message["role"], "content": more}])
        return True

    def _report_transcript(self, messages: Sequence[Message]) -> None:
        for message in messages:
            text, role = message.get("content"), message["role"]
            if isinstance(text, str) and role in ("user", "assistant"):
                interrupted = message.get("interrupted", False)
                if self.recorder is not None:
                    self.recorder.said(self.clock.now(), role, text, interrupted)
                self.hooks.notify("transcript", session=self, role=role, text=text, interrupted=interrupted)

    # ---- functions -------------------------------------------------------------------------------------------------

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
        if own is not None:
            return self.calls.carry_out(own.spec, id, partial(self.actions.call, own, arguments))
        if self.single_turn:
            raise FunctionCallFailed(f"The client is not connected, so it cannot carry out {name!r}.")
        return self.calls.ask_client(name, arguments, id)

    @property
    def _own_functions(self) -> Offer:
        """The bot's own actions that it grants to its LLM, with the providers in use."""
        return self._functions.get(self.providers)

    # ---- the conversation ------------------------------------------------------------------------------------------

    @property
    def has_audio(self) -> bool:
        return self.audio_input is not None

    def listening(self, listener: Listener) -> AbstractContextManager[None]:
        return nullcontext() if self.audio_input is None else self.audio_input.listening(listener)

    def submit(self, input: Input) -> None:
        self.turns.submit(input)

    def inputs(self) -> AsyncIterator[Input]:
        return Iteration(self.turns.inputs.next)

    def turn(self, *, interruptible: bool = True) -> AbstractAsyncContextManager[Turn]:
        boundary = self.services.turn_boundary
        return self.turns.turn(lambda: self.services.live, boundary, interruptible=interruptible)

    def interrupt(self) -> bool:
        return self.turns.interrupt()

    @property
    def closing(self) -> bool:
        return self.ending.closing

    def close(self, reason: str = "", *, now: bool = False) -> None:
        self.ending.close(reason, now=now)


def _with_words(content: str | list[dict[str, Any]] | None, more: str) -> str | list[dict[str, Any]]:
    """Return a message's content, whichever form it has, with words added at its end."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": more}]
    return f"{content} {more}" if content else more
