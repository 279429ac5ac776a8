"""Events of a conversation, and the messages that each generation of clients knows for them.

Bots and conversation loops emit these records with `Session.emit`. `serialize` turns an event into the messages that
the connected client understands, as the published clients expect them. A client whose protocol version has no message
for an event is not sent it.

The module has more than 300 lines because each event stands beside its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

__all__ = (
    "BotLLMStarted",
    "BotLLMStopped",
    "BotLLMText",
    "BotOutput",
    "BotStartedSpeaking",
    "BotStoppedSpeaking",
    "BotTTSStarted",
    "BotTTSStopped",
    "BotTTSText",
    "BotTurnEnded",
    "Event",
    "FunctionCallEnded",
    "FunctionCallStarted",
    "Interrupted",
    "Metrics",
    "UserLLMText",
    "UserStartedSpeaking",
    "UserStoppedSpeaking",
    "UserTranscription",
    "serialize",
)

_Version: TypeAlias = tuple[int, int, int]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@frozen
class UserStartedSpeaking:
    """The user started to speak."""


@frozen
class UserStoppedSpeaking:
    """The user stopped speaking: the silence has lasted long enough."""


@frozen
class UserTranscription:
    """A transcript of the user's speech. `timestamp` is ISO 8601, by default the present time.

    The next transcript replaces one that is not `final`. A final one with an empty text removes it.
    """

    text: str
    timestamp: str = field(factory=_now)
    final: bool = True


@frozen
class UserLLMText:
    """The user's message to the LLM: typed text, or the transcript of a whole user turn."""

    text: str


@frozen
class BotLLMStarted:
    """The request to the LLM was sent."""


@frozen
class BotLLMText:
    """A piece of the LLM's answer."""

    text: str


@frozen
class BotLLMStopped:
    """The LLM's answer ended or was interrupted."""


@frozen
class BotTTSStarted:
    """The first text of an answer was sent to the TTS."""


@frozen
class BotTTSText:
    """The text that starts to play now: a word if the TTS reports when words start, otherwise a sentence."""

    text: str


@frozen
class BotTTSStopped:
    """The speech of an answer ended or was interrupted."""


@frozen
class BotStartedSpeaking:
    """The first audio of a turn was sent."""


@frozen
class BotStoppedSpeaking:
    """All audio of a turn was played, or the turn was interrupted."""


@frozen
class BotTurnEnded:
    """The bot's turn ended, or was `interrupted`. Nothing of the turn follows. `Session.turn` sends it.

    With `handed_over`, a function of the turn has handed over: the other persona goes on with the answer in a turn of
    its own.
    """

    interrupted: bool = False
    handed_over: bool = False


@frozen
class BotOutput:
    """One sentence of the bot's answer, in order. `segment` is its number within the session.

    Text that is only shown is sent once, as `"new"`. Text that is also `spoken` is `"new"` when it is known,
    `"in-progress"` when its first word plays, and `"completed"` after its last word.
    """

    text: str
    segment: int
    spoken: bool = False
    status: Literal["new", "in-progress", "completed"] = "new"


@frozen
class Interrupted:
    """The bot was interrupted while it was speaking."""


@frozen
class FunctionCallStarted:
    """A function call started. The client runs the function if `by_client`; otherwise the bot does."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    by_client: bool = True


@frozen
class FunctionCallEnded:
    """A function call ended: with a result, or `cancelled`."""

    id: str
    name: str
    cancelled: bool
    result: Any = None


@frozen
class Metrics:
    """Measurements of one service: seconds to the first byte, seconds of processing, tokens, characters.

    `voice_to_voice` is the time from the end of the user's speech to the first audio of the answer, in seconds; its
    processor is `"bot"`. Measurements that are None are not sent.
    """

    processor: str
    ttfb: float | None = None
    processing: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    characters: int | None = None
    voice_to_voice: float | None = None
    model: str | None = None
    #: A part of `prompt_tokens`, which the vendor had stored.
    cached_tokens: int | None = None
    #: A part of `completion_tokens`, which the model thought with.
    reasoning_tokens: int | None = None
    #: The seconds of audio that a speech service charges for.
    seconds: float | None = None


#: Any of the events.
Event: TypeAlias = (
    UserStartedSpeaking
    | UserStoppedSpeaking
    | UserTranscription
    | UserLLMText
    | BotLLMStarted
    | BotLLMText
    | BotLLMStopped
    | BotTTSStarted
    | BotTTSText
    | BotTTSStopped
    | BotStartedSpeaking
    | BotStoppedSpeaking
    | BotTurnEnded
    | BotOutput
    | Interrupted
    | FunctionCallStarted
    | FunctionCallEnded
    | Metrics
)

_WireMessage: TypeAlias = "tuple[str, dict[str, Any] | None]"

# The protocol versions in which the messages for an event changed.
_FUNCTION_EVENTS: _Version = (1, 2, 0)
_BOT_OUTPUT: _Version = (1, 1, 0)
_NEW: _Version = (1, 0, 0)
_SEGMENTS: _Version = (2, 0, 0)
_USER_INPUT: _Version = (2, 2, 0)


def serialize(event: Event, version: _Version) -> Iterable[_WireMessage]:
    """Return the `(type, data)` of each message that reports the event to a client of this protocol version."""
    return _SERIALIZERS[type(event)](event, version)


def _user_transcription(event: UserTranscription, version: _Version) -> Iterable[_WireMessage]:
    data = {"text": event.text, "user_id": "", "timestamp": event.timestamp, "final": event.final}
    messages: list[_WireMessage] = [("user-transcription", data)]
    if version >= _USER_INPUT:
        messages.append(("user-input", {**data, "input_type": "transcription"}))
    return messages


def _user_llm_text(event: UserLLMText, version: _Version) -> Iterable[_WireMessage]:
    return [("user-llm-text", {"text": event.text})] if version >= _NEW else []


def _bot_turn_ended(event: BotTurnEnded, version: _Version) -> Iterable[_WireMessage]:
    # Our own message. Clients from 1.0 on drop types that they do not know; older ones pass them to the application.
    handed_over = {"handed_over": True} if event.handed_over else {}
    return [("bot-turn-ended", {"interrupted": event.interrupted, **handed_over})] if version >= _NEW else []


def _bot_output(event: BotOutput, version: _Version) -> Iterable[_WireMessage]:
    messages: list[_WireMessage] = []
    if event.status == "new":
        # Version 0.1 has `tts-text`, 0.2 and later have `bot-transcription`. The two send the same `client-ready`, and
        # each ignores the other's message, so a 0.x client is sent both.
        old = ["tts-text"] if version < _NEW else []
        messages.extend((type, {"text": event.text}) for type in (*old, "bot-transcription"))
    if version >= _SEGMENTS:
        messages.append(("bot-output", _segment(event)))
    elif version >= _BOT_OUTPUT and event.status == ("in-progress" if event.spoken else "new"):
        # Before 2.0, each text was sent once: when it was spoken, or at once if it is only shown.
        messages.append(("bot-output", {"text": event.text, "spoken": event.spoken, "aggregated_by": "sentence"}))
    return messages


def _segment(event: BotOutput) -> dict[str, Any]:
    done = event.status == "completed"
    return {
        "text": event.text,
        "aggregated_by": "sentence",
        "segment_id": event.segment,
        "will_be_spoken": event.spoken,
        "spoken_status": event.status,
        "spoken_progress": {
            "accumulated_text": event.text if done else "",
            "remaining_text": "" if done else event.text,
        },
    }


def _interrupted(event: Interrupted, version: _Version) -> Iterable[_WireMessage]:
    return [("bot-interrupted", None)] if version >= _SEGMENTS else []


def _call_started(event: FunctionCallStarted, version: _Version) -> Iterable[_WireMessage]:
    # A client that knows both messages would run its function twice, so it is sent exactly one of them.
    new = version >= _FUNCTION_EVENTS
    type = "llm-function-call-started" if new else "llm-function-call-start"
    named: _WireMessage = (type, {"function_name": event.name})
    if not event.by_client:  # on the message with the arguments, the client would run the function itself
        return [named]
    data = {"tool_call_id": event.id, "function_name": event.name, "arguments" if new else "args": event.arguments}
    return [named, ("llm-function-call-in-progress" if new else "llm-function-call", data)]


def _call_ended(event: FunctionCallEnded, version: _Version) -> Iterable[_WireMessage]:
    if version < _FUNCTION_EVENTS:
        return []
    data: dict[str, Any] = {"tool_call_id": event.id, "function_name": event.name, "cancelled": event.cancelled}
    if not event.cancelled:
        data["result"] = event.result
    return [("llm-function-call-stopped", data)]


def _metrics(event: Metrics, version: _Version) -> Iterable[_WireMessage]:
    data: dict[str, Any] = {}
    name = {"processor": event.processor} | ({} if event.model is None else {"model": event.model})
    if event.ttfb is not None:
        data["ttfb"] = [{**name, "value": event.ttfb}]
    if event.processing is not None:
        data["processing"] = [{**name, "value": event.processing}]
    if event.prompt_tokens is not None or event.completion_tokens is not None:
        prompt, completion = event.prompt_tokens or 0, event.completion_tokens or 0
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        details = {"cache_read_input_tokens": event.cached_tokens, "reasoning_tokens": event.reasoning_tokens}
        data["tokens"] = [{**name, **counts, **{each: count for each, count in details.items() if count is not None}}]
    if event.seconds is not None:
        data["seconds"] = [{**name, "value": event.seconds}]
    if event.characters is not None:
        data["characters"] = [{**name, "value": event.characters}]
    if event.voice_to_voice is not None:
        data["voice_to_voice"] = [{**name, "value": event.voice_to_voice}]
    return [("metrics", data)] if data else []


def _always(type: str) -> Callable[[Any, _Version], Iterable[_WireMessage]]:
    return lambda event, version: [(type, None)]


def _text(type: str) -> Callable[[Any, _Version], Iterable[_WireMessage]]:
    return lambda event, version: [(type, {"text": event.text})]


_SERIALIZERS: Mapping[type, Callable[[Any, _Version], Iterable[_WireMessage]]] = {
    UserStartedSpeaking: _always("user-started-speaking"),
    UserStoppedSpeaking: _always("user-stopped-speaking"),
    UserTranscription: _user_transcription,
    UserLLMText: _user_llm_text,
    BotLLMStarted: _always("bot-llm-started"),
    BotLLMText: _text("bot-llm-text"),
    BotLLMStopped: _always("bot-llm-stopped"),
    BotTTSStarted: _always("bot-tts-started"),
    BotTTSText: _text("bot-tts-text"),
    BotTTSStopped: _always("bot-tts-stopped"),
    BotStartedSpeaking: _always("bot-started-speaking"),
    BotStoppedSpeaking: _always("bot-stopped-speaking"),
    BotTurnEnded: _bot_turn_ended,
    BotOutput: _bot_output,
    Interrupted: _interrupted,
    FunctionCallStarted: _call_started,
    FunctionCallEnded: _call_ended,
    Metrics: _metrics,
}
