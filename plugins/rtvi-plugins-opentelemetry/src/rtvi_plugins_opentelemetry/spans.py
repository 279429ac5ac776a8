"""The spans of one session.

    session                       from the start to the end
      turn                        from the user's words, or the bot's, to the end of the bot's turn
        chat, transcribe, speak   one call of a service
        execute_tool NAME         one function that the LLM called
      SERVICE:ACTION              one action that a client called

Names and attributes of an LLM's calls and of functions are those of OpenTelemetry's semantic conventions for generative
AI, version 1.41, which have none for speech: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. No
attribute holds a word of the conversation, an argument or a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from rtvi_plugins.events import (
    BotLLMStarted,
    BotTurnEnded,
    Event,
    FunctionCallEnded,
    FunctionCallStarted,
    Metrics,
    UserLLMText,
    UserStoppedSpeaking,
)
from rtvi_plugins.session import Session

__all__ = ("NANOSECONDS", "SessionSpans", "end_span")

_Value = str | int | float | bool

#: The name of a service call's span, by the kind of the service.
_OPERATIONS: Final[Mapping[str, str]] = {"llm": "chat", "stt": "transcribe", "tts": "speak"}
#: The names that the conventions give to providers whose name is another here.
_CONVENTIONAL: Final[Mapping[str, str]] = {"google": "gcp.gemini", "xai": "x_ai"}
#: The reasons of `session_closed` that are no errors.
_WITHOUT_CLIENT: Final = ("unclaimed", "not-resumed")
#: How many there are in a second.
NANOSECONDS: Final = 1_000_000_000


@define(eq=False)
class SessionSpans:
    """The spans of one session. `now` is the time in nanoseconds since 1970, as OpenTelemetry counts."""

    session: Session
    tracer: Tracer
    now: Callable[[], int] = time.time_ns
    _root: Span = field(init=False)
    _turn: Span | None = field(default=None, init=False)
    #: When the user stopped speaking, if no turn has begun since.
    _stopped: int | None = field(default=None, init=False)
    _functions: dict[str, Span] = field(factory=dict[str, Span], init=False)
    _actions: dict[int, Span] = field(factory=dict[int, Span], init=False)
    #: The providers that have taken over, by service.
    _replacements: dict[str, str | None] = field(factory=dict[str, "str | None"], init=False)

    def __attrs_post_init__(self) -> None:
        self._root = self.tracer.start_span("session", attributes={"session.id": self.session.id})

    def happened(self, event: Event) -> None:
        """Begin or end a span for an event."""
        match event:
            case UserStoppedSpeaking():
                self._stopped = self.now()
            case UserLLMText() | BotLLMStarted():
                self._begin_turn()
            case BotTurnEnded():
                self._end_turn(event)
            case Metrics():
                self._measured(event)
            case FunctionCallStarted():
                self._functions[event.id] = self._child(f"execute_tool {event.name}", self._tool(event))
            case FunctionCallEnded():
                self._end_function(event)
            case _:
                pass

    def action_started(self, service: str, action: str, call: int) -> None:
        """Begin the span of an action."""
        name = f"{service}:{action}"
        attributes = {"rtvi.service": service, "rtvi.action": action}
        self._actions[call] = self.tracer.start_span(name, set_span_in_context(self._root), attributes=attributes)

    def action_finished(self, error: str | None, call: int) -> None:
        """End the span of an action."""
        if (span := self._actions.pop(call, None)) is not None:
            end_span(span, error, self.now())

    def replaced(self, service: str, provider: str | None) -> None:
        """Note the provider that has taken over; None if the chosen one serves again."""
        self._replacements[service] = provider

    def failed(self, code: str, provider: str | None, category: str | None) -> None:
        """Note an error that belongs to no request on the turn, or on the session between turns.

        If a vendor has failed, its turn has failed too.
        """
        if provider is None:
            (self._turn or self._root).add_event("error", {"error.type": code})
            return
        found = {"error.type": category or code, "gen_ai.provider.name": _CONVENTIONAL.get(provider, provider)}
        (self._turn or self._root).add_event("error", found)
        if self._turn is not None:
            _fail(self._turn, category or code)

    def closed(self, reason: str) -> None:
        """End all spans. A client that does not come is no error."""
        for span in (*self._functions.values(), *self._actions.values(), *filter(None, [self._turn])):
            span.end(self.now())
        if reason in _WITHOUT_CLIENT:
            self._root.set_attribute("rtvi.end_reason", reason)
            reason = ""
        end_span(self._root, reason or None, self.now())

    # ---- turns and what they call ----------------------------------------------------------------------------------

    def _begin_turn(self) -> None:
        if self._turn is None:
            self._turn = self._child("turn", {}, self._stopped or self.now())
        self._stopped = None

    def _end_turn(self, event: BotTurnEnded) -> None:
        if self._turn is not None:
            self._turn.set_attribute("rtvi.interrupted", event.interrupted)
            self._turn.end(self.now())
            self._turn = None

    def _child(
        self,
        name: str,
        attributes: Mapping[str, _Value],
        start: int | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        context = set_span_in_context(self._turn or self._root)
        return self.tracer.start_span(name, context, kind, dict(attributes), start_time=start)

    def _tool(self, event: FunctionCallStarted) -> dict[str, _Value]:
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": event.id,
            "gen_ai.conversation.id": self.session.id,
        }

    def _measured(self, event: Metrics) -> None:
        if event.voice_to_voice is not None and self._turn is not None:
            self._turn.set_attribute("rtvi.voice_to_voice", event.voice_to_voice)
        operation = _OPERATIONS.get(event.processor)
        seconds = event.processing if event.processing is not None else event.ttfb
        if operation is None or seconds is None:
            return
        end = self.now()
        provider = event.provider or ""
        is_chat = event.processor == "llm"
        # The config has the options of the chosen provider, also while another serves or finishes its turn.
        replaced = self._replacements.get(event.processor)
        chosen = provider == self.session.providers.get(event.processor) and provider != replaced
        model = self.session.config().get(event.processor, {}).get("model") if chosen else None
        requested = model if isinstance(model, str) else None
        found: Mapping[str, _Value | None] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _CONVENTIONAL.get(provider, provider),
            "gen_ai.conversation.id": self.session.id,
            "gen_ai.request.model": requested,
            "gen_ai.request.stream": True if is_chat else None,
            "gen_ai.response.model": event.model,
            "gen_ai.response.time_to_first_chunk": event.ttfb if is_chat else None,
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": event.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": event.reasoning_tokens,
            "rtvi.service": event.processor,
            "rtvi.first_output": event.ttfb,
            "rtvi.characters": event.characters,
            "rtvi.audio_seconds": event.seconds,
        }
        attributes = {name: value for name, value in found.items() if value is not None}
        name = " ".join(filter(None, [operation, requested or event.model]))
        self._child(name, attributes, end - int(seconds * NANOSECONDS), SpanKind.CLIENT).end(end)

    def _end_function(self, event: FunctionCallEnded) -> None:
        if (span := self._functions.pop(event.id, None)) is not None:
            span.set_attribute("rtvi.cancelled", event.cancelled)
            span.end(self.now())


def end_span(span: Span, error: str | None, at: int) -> None:
    """End a span, with the code of an error if there is one. `at` is in nanoseconds since 1970."""
    if error is not None:
        _fail(span, error)
    span.end(at)


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))
