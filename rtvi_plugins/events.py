"""What a bot tells a client without being asked, and how each generation of clients spells it.

Bots and conversation loops emit these records with `Session.emit`; `spell` turns one into the messages that the
connected client knows. The spelling is read from the published clients; a generation that has no word for an event
is not sent one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import frozen

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
    "Event",
    "FunctionCallEnded",
    "FunctionCallStarted",
    "Interrupted",
    "Metrics",
    "UserLLMText",
    "UserStartedSpeaking",
    "UserStoppedSpeaking",
    "UserTranscription",
    "spell",
)

_Version: TypeAlias = tuple[int, int, int]


@frozen
class UserStartedSpeaking:
    """The user has begun to speak."""


@frozen
class UserStoppedSpeaking:
    """The user has been silent for long enough to have stopped."""


@frozen
class UserTranscription:
    """What the user was heard to say. `timestamp` is ISO 8601. The next one replaces one that is not final.

    A final one without text removes it: nothing was said, after all.
    """

    text: str
    timestamp: str
    final: bool = True


@frozen
class UserLLMText:
    """What the LLM is given as the user's words: typed, or all that was heard of a turn."""

    text: str


@frozen
class BotLLMStarted:
    """The LLM was asked."""


@frozen
class BotLLMText:
    """A piece of the LLM's answer."""

    text: str


@frozen
class BotLLMStopped:
    """The LLM's answer has ended, or was cut short."""


@frozen
class BotTTSStarted:
    """The TTS was given the first text of an answer."""


@frozen
class BotTTSText:
    """Text that is being heard now: a word, where the TTS tells when its words start, or a sentence."""

    text: str


@frozen
class BotTTSStopped:
    """The speech of an answer has ended, or was cut short."""


@frozen
class BotStartedSpeaking:
    """The first audio of a turn is on its way."""


@frozen
class BotStoppedSpeaking:
    """All audio of a turn has been heard, or it was cut short."""


@frozen
class BotOutput:
    """A sentence of what the bot says, in the order it says them. `segment` counts them within a session.

    Text that is shown only is `"new"` once. Text that is `spoken` too is `"new"` when it is known, `"in-progress"`
    when its first word is heard and `"completed"` after its last.
    """

    text: str
    segment: int
    spoken: bool = False
    status: Literal["new", "in-progress", "completed"] = "new"


@frozen
class Interrupted:
    """What the bot was saying was cut short."""


@frozen
class FunctionCallStarted:
    """A function is carried out: by the client, which is asked to, or by the bot itself, of which it is told."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    by_client: bool = True


@frozen
class FunctionCallEnded:
    """A function call is over: answered, or given up."""

    id: str
    name: str
    cancelled: bool
    result: Any = None


@frozen
class Metrics:
    """Measurements of one service: seconds to the first byte, seconds of processing, tokens, characters.

    `voice_to_voice` is the time from the end of the user's speech to the first audio of the answer, in seconds; its
    processor is `"bot"`. What is None is not told.
    """

    processor: str
    ttfb: float | None = None
    processing: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    characters: int | None = None
    voice_to_voice: float | None = None
    model: str | None = None


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
    | BotOutput
    | Interrupted
    | FunctionCallStarted
    | FunctionCallEnded
    | Metrics
)

_Spelled: TypeAlias = "tuple[str, dict[str, Any] | None]"

# Protocol versions at which a spelling changed.
_FUNCTION_EVENTS: _Version = (1, 2, 0)
_BOT_OUTPUT: _Version = (1, 1, 0)
_NEW: _Version = (1, 0, 0)
_SEGMENTS: _Version = (2, 0, 0)


def spell(event: Event, version: _Version) -> Iterable[_Spelled]:
    """The `(type, data)` of the messages that tell `event` to a client of this protocol version; maybe none."""
    return _SPELLINGS[type(event)](event, version)


def _user_transcription(event: UserTranscription, version: _Version) -> Iterable[_Spelled]:
    told = {"text": event.text, "user_id": "", "timestamp": event.timestamp, "final": event.final}
    return [("user-transcription", told)]


def _user_llm_text(event: UserLLMText, version: _Version) -> Iterable[_Spelled]:
    return [("user-llm-text", {"text": event.text})] if version >= _NEW else []


def _bot_output(event: BotOutput, version: _Version) -> Iterable[_Spelled]:
    told: list[_Spelled] = []
    if event.status == "new":
        # 0.1 knows `tts-text`, 0.2 and later `bot-transcription`; each ignores the other's, and they look alike at
        # `client-ready`, so a 0.x client is sent both.
        old = ["tts-text"] if version < _NEW else []
        told.extend((type, {"text": event.text}) for type in (*old, "bot-transcription"))
    if version >= _SEGMENTS:
        told.append(("bot-output", _segment(event)))
    elif version >= _BOT_OUTPUT and event.status == ("in-progress" if event.spoken else "new"):
        # Before there were segments, each text was told once: when it was spoken, or when it was known not to be.
        told.append(("bot-output", {"text": event.text, "spoken": event.spoken, "aggregated_by": "sentence"}))
    return told


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


def _interrupted(event: Interrupted, version: _Version) -> Iterable[_Spelled]:
    return [("bot-interrupted", None)] if version >= _SEGMENTS else []


def _call_started(event: FunctionCallStarted, version: _Version) -> Iterable[_Spelled]:
    # A client that understands both spellings would run its function twice, so each is sent exactly one.
    new = version >= _FUNCTION_EVENTS
    named: _Spelled = ("llm-function-call-started" if new else "llm-function-call-start", {"function_name": event.name})
    if not event.by_client:  # a client that is told of the call itself would carry it out
        return [named]
    told = {"tool_call_id": event.id, "function_name": event.name, "arguments" if new else "args": event.arguments}
    return [named, ("llm-function-call-in-progress" if new else "llm-function-call", told)]


def _call_ended(event: FunctionCallEnded, version: _Version) -> Iterable[_Spelled]:
    if version < _FUNCTION_EVENTS:
        return []
    told: dict[str, Any] = {"tool_call_id": event.id, "function_name": event.name, "cancelled": event.cancelled}
    if not event.cancelled:
        told["result"] = event.result
    return [("llm-function-call-stopped", told)]


def _metrics(event: Metrics, version: _Version) -> Iterable[_Spelled]:
    told: dict[str, Any] = {}
    name = {"processor": event.processor} | ({} if event.model is None else {"model": event.model})
    if event.ttfb is not None:
        told["ttfb"] = [{**name, "value": event.ttfb}]
    if event.processing is not None:
        told["processing"] = [{**name, "value": event.processing}]
    if event.prompt_tokens is not None or event.completion_tokens is not None:
        prompt, completion = event.prompt_tokens or 0, event.completion_tokens or 0
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        told["tokens"] = [{**name, **counts}]
    if event.characters is not None:
        told["characters"] = [{**name, "value": event.characters}]
    if event.voice_to_voice is not None:
        told["voice_to_voice"] = [{**name, "value": event.voice_to_voice}]
    return [("metrics", told)] if told else []


def _always(type: str) -> Callable[[Any, _Version], Iterable[_Spelled]]:
    return lambda event, version: [(type, None)]


def _text(type: str) -> Callable[[Any, _Version], Iterable[_Spelled]]:
    return lambda event, version: [(type, {"text": event.text})]


_SPELLINGS: Mapping[type, Callable[[Any, _Version], Iterable[_Spelled]]] = {
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
    BotOutput: _bot_output,
    Interrupted: _interrupted,
    FunctionCallStarted: _call_started,
    FunctionCallEnded: _call_ended,
    Metrics: _metrics,
}
