"""Events of a conversation, and the messages that each generation of clients knows for them.

Bots and conversation loops emit these records with `Session.emit`. `serialize` turns an event into the messages that
the connected client understands, as the published clients expect them. If the client's protocol version has no message
for an event, the event is not sent.

The module has more than 300 lines because each event is next to its messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeAlias

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
_WireMessage: TypeAlias = "tuple[str, dict[str, Any] | None]"

# The protocol versions in which the messages for an event changed.
_FUNCTION_EVENTS: _Version = (1, 2, 0)
_BOT_OUTPUT: _Version = (1, 1, 0)
_NEW: _Version = (1, 0, 0)
_SEGMENTS: _Version = (2, 0, 0)
_USER_INPUT: _Version = (2, 2, 0)


@frozen
class Event:
    """Any of the events."""

    #: The type of the one message of an event without data.
    _type: ClassVar[str]

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        return [(self._type, None)]


def serialize(event: Event, version: _Version) -> Iterable[_WireMessage]:
    """Return the `(type, data)` of each message that reports the event to a client of this protocol version."""
    return event._messages(version)  # pyright: ignore[reportPrivateUsage]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@frozen
class UserStartedSpeaking(Event):
    """The user started to speak."""

    _type = "user-started-speaking"


@frozen
class UserStoppedSpeaking(Event):
    """The user stopped speaking: the silence has lasted long enough."""

    _type = "user-stopped-speaking"


@frozen
class UserTranscription(Event):
    """A transcript of the user's speech. `timestamp` is ISO 8601, by default the present time.

    The next transcript replaces one that is not `final`. A final one with an empty text removes it.
    """

    text: str
    timestamp: str = field(factory=_now)
    final: bool = True

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        data = {"text": self.text, "user_id": "", "timestamp": self.timestamp, "final": self.final}
        messages: list[_WireMessage] = [("user-transcription", data)]
        if version >= _USER_INPUT:
            messages.append(("user-input", {**data, "input_type": "transcription"}))
        return messages


@frozen
class UserLLMText(Event):
    """The user's message to the LLM: typed text, or the transcript of a whole user turn."""

    text: str

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        return [("user-llm-text", {"text": self.text})] if version >= _NEW else []


@frozen
class BotLLMStarted(Event):
    """The request to the LLM was sent."""

    _type = "bot-llm-started"


@frozen
class BotLLMText(Event):
    """A piece of the LLM's answer."""

    text: str

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        return [("bot-llm-text", {"text": self.text})]


@frozen
class BotLLMStopped(Event):
    """The LLM's answer ended or was interrupted."""

    _type = "bot-llm-stopped"


@frozen
class BotTTSStarted(Event):
    """The first text of an answer was sent to the TTS."""

    _type = "bot-tts-started"


@frozen
class BotTTSText(Event):
    """The text that starts to play now: a word if the TTS reports when words start, otherwise a sentence."""

    text: str

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        return [("bot-tts-text", {"text": self.text})]


@frozen
class BotTTSStopped(Event):
    """The speech of an answer ended or was interrupted."""

    _type = "bot-tts-stopped"


@frozen
class BotStartedSpeaking(Event):
    """The first audio of a turn was sent."""

    _type = "bot-started-speaking"


@frozen
class BotStoppedSpeaking(Event):
    """All audio of a turn was played, or the turn was interrupted."""

    _type = "bot-stopped-speaking"


@frozen
class BotTurnEnded(Event):
    """The bot's turn ended, or was `interrupted`. Nothing of the turn follows. `Session.turn` sends it.

    With `handed_over`, a function of the turn has handed over: the other persona continues with the answer in a turn of
    its own.
    """

    interrupted: bool = False
    handed_over: bool = False

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        # Our own message. Clients from 1.0 on drop types that they do not know; older ones pass them on.
        handed_over = {"handed_over": True} if self.handed_over else {}
        return [("bot-turn-ended", {"interrupted": self.interrupted, **handed_over})] if version >= _NEW else []


@frozen
class BotOutput(Event):
    """One sentence of the bot's answer, in order. `segment` is its number within the session.

    Text that is only shown is sent once, as `"new"`. Text that is also `spoken` is `"new"` when it is known,
    `"in-progress"` when its first word plays, and `"completed"` after its last word.
    """

    text: str
    segment: int
    spoken: bool = False
    status: Literal["new", "in-progress", "completed"] = "new"

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        messages: list[_WireMessage] = []
        if self.status == "new":
            # Version 0.1 has `tts-text`, 0.2 and later have `bot-transcription`. The two send the same `client-ready`,
            # and each ignores the other's message, so a 0.x client is sent both.
            old = ["tts-text"] if version < _NEW else []
            messages.extend((type, {"text": self.text}) for type in (*old, "bot-transcription"))
        if version >= _SEGMENTS:
            messages.append(("bot-output", self._segment()))
        elif version >= _BOT_OUTPUT and self.status == ("in-progress" if self.spoken else "new"):
            # Before 2.0, each text was sent once: when it was spoken, or at once if it is only shown.
            messages.append(("bot-output", {"text": self.text, "spoken": self.spoken, "aggregated_by": "sentence"}))
        return messages

    def _segment(self) -> dict[str, Any]:
        done = self.status == "completed"
        return {
            "text": self.text,
            "aggregated_by": "sentence",
            "segment_id": self.segment,
            "will_be_spoken": self.spoken,
            "spoken_status": self.status,
            "spoken_progress": {
                "accumulated_text": self.text if done else "",
                "remaining_text": "" if done else self.text,
            },
        }


@frozen
class Interrupted(Event):
    """The bot's turn was interrupted, even if the user has heard nothing of it."""

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        return [("bot-interrupted", None)] if version >= _SEGMENTS else []


@frozen
class FunctionCallStarted(Event):
    """A function call started. The client runs the function if `by_client`; otherwise the bot does."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    by_client: bool = True

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        # A client that knows both messages would run its function twice, so it is sent exactly one of them.
        new = version >= _FUNCTION_EVENTS
        type = "llm-function-call-started" if new else "llm-function-call-start"
        named: _WireMessage = (type, {"function_name": self.name})
        if not self.by_client:  # on the message with the arguments, the client would run the function itself
            return [named]
        data = {"tool_call_id": self.id, "function_name": self.name, "arguments" if new else "args": self.arguments}
        return [named, ("llm-function-call-in-progress" if new else "llm-function-call", data)]


@frozen
class FunctionCallEnded(Event):
    """A function call ended: with a result, or `cancelled`."""

    id: str
    name: str
    cancelled: bool
    result: Any = None

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        if version < _FUNCTION_EVENTS:
            return []
        data: dict[str, Any] = {"tool_call_id": self.id, "function_name": self.name, "cancelled": self.cancelled}
        if not self.cancelled:
            data["result"] = self.result
        return [("llm-function-call-stopped", data)]


@frozen
class Metrics(Event):
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
    #: The provider that was measured. `session.emit` sets it for hooks. Clients are not sent it.
    provider: str | None = None

    def _messages(self, version: _Version) -> Iterable[_WireMessage]:
        data: dict[str, Any] = {}
        name = {"processor": self.processor} | ({} if self.model is None else {"model": self.model})
        if self.ttfb is not None:
            data["ttfb"] = [{**name, "value": self.ttfb}]
        if self.processing is not None:
            data["processing"] = [{**name, "value": self.processing}]
        if self.prompt_tokens is not None or self.completion_tokens is not None:
            prompt, completion = self.prompt_tokens or 0, self.completion_tokens or 0
            counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
            details = {"cache_read_input_tokens": self.cached_tokens, "reasoning_tokens": self.reasoning_tokens}
            data["tokens"] = [
                {**name, **counts, **{each: count for each, count in details.items() if count is not None}}
            ]
        if self.seconds is not None:
            data["seconds"] = [{**name, "value": self.seconds}]
        if self.characters is not None:
            data["characters"] = [{**name, "value": self.characters}]
        if self.voice_to_voice is not None:
            data["voice_to_voice"] = [{**name, "value": self.voice_to_voice}]
        return [("metrics", data)] if data else []
