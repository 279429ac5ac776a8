"""A conversation over the Live API: the messages to send for each input, and the pieces of each message that arrives.

Nothing here reads from the network. A text interrupts the answer that the vendor gives, so texts wait here for its end.
"""

from __future__ import annotations

import logging
import re
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from attrs import define, field

from rtvi_plugins.kinds import (
    Added,
    AnswerEnded,
    Audio,
    FunctionResult,
    Heard,
    Pause,
    Respond,
    SpeechBegan,
    SpeechEnded,
    SpeechInput,
    SpeechPiece,
    Text,
    ToolCall,
    Transcript,
    Typed,
    Usage,
)
from rtvi_plugins_vendor import text_of

from ._answer import shown

__all__ = ("STOPPED", "Live")

log = logging.getLogger("rtvi_plugins_google")

Sent: TypeAlias = "dict[str, Any]"

#: Delivered to the reader after an answer was stopped.
STOPPED: Final[Sent] = {"stopped": True}
_CONTINUE: Final = "(Please go on.)"
_SAY: Final = "Say the following text, word for word, and nothing else:\n"
_RATE: Final = re.compile(r"rate=(\d+)")
#: The rate of the vendor's audio, unless a message says otherwise, in Hz.
_DEFAULT_RATE: Final = 24_000
#: Reasons for the end of a turn that are no failure.
_ENDED: Final = ("TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT")


@define(eq=False)
class _Answer:
    asked: bool
    begun: bool = False
    stopped: bool = False


@define(eq=False)
class Live:
    """The state of one conversation. Errors of reading a message mean that it is malformed."""

    endpointing: bool
    model: str | None = None
    #: The texts whose answers wait for their turn. None: the answer was stopped.
    _waiting: deque[str | None] = field(factory=deque["str | None"], init=False)
    #: Messages that others have added. The vendor takes them only with a text that it answers.
    _added: list[str] = field(factory=list[str], init=False)
    _active: _Answer | None = field(default=None, init=False)
    #: The vendor still sends an answer that was stopped.
    _drops: bool = field(default=False, init=False)
    _ended: int = field(default=0, init=False)
    #: The functions whose results the vendor waits for, by the ids of the calls; and the calls that it has cancelled.
    _calls: dict[str, str] = field(factory=dict[str, str], init=False)
    _cancelled: set[str] = field(factory=set[str], init=False)
    #: The vendor's turn was interrupted, and its end is to come.
    _interrupted: bool = field(default=False, init=False)
    #: The vendor will close the connection soon.
    _closes: bool = field(default=False, init=False)
    #: Whether the user is speaking, as far as is known; and the words that they have said.
    _speaks: bool = field(default=False, init=False)
    _activity: bool = field(default=False, init=False)
    #: The user has finished, and the end of the vendor's turn is to come.
    _unanswered: bool = field(default=False, init=False)
    _heard: str = field(default="", init=False)
    _language: str | None = field(default=None, init=False)
    _usage: Mapping[str, Any] = field(factory=dict[str, Any], init=False)

    @property
    def is_waiting(self) -> bool:
        """Whether the vendor owes a message."""
        return self._active is not None

    @property
    def has_stopped(self) -> bool:
        """Whether an answer was stopped, and its turn has come. `take` then ends it."""
        return self._active.stopped if self._active else bool(self._waiting) and self._waiting[0] is None

    @property
    def is_leaving(self) -> bool:
        """Whether the vendor will close the connection soon, nobody speaks, and no answer or result is awaited."""
        waits = self._active or self._waiting or self._drops or self._calls or self._unanswered
        return self._closes and not (waits or self._speaks or self._activity)

    # ---- what is sent ------------------------------------------------------------------------------------------------

    def give(self, item: SpeechInput) -> Iterator[Sent]:
        """Yield the messages for an input."""
        match item:
            case Audio(data, rate):
                if not self.endpointing and not self._activity:
                    self._activity = True
                    yield {"realtimeInput": {"activityStart": {}}}
                blob = {"mimeType": f"audio/pcm;rate={rate}", "data": b64encode(data).decode()}
                yield {"realtimeInput": {"audio": blob}}
            case Pause() if self.endpointing:
                yield {"realtimeInput": {"audioStreamEnd": True}}
            case Pause():
                self._activity, self._active = False, _Answer(asked=True)
                yield {"realtimeInput": {"activityEnd": {}}}
            case Typed(text):
                self._waiting.append(text)
            case Added(message):
                self._added.append(f"({message['role']}: {text_of(message['content'])})")
            case Respond(say):
                self._waiting.append(_CONTINUE if say is None else f"{_SAY}{say}")
            case FunctionResult(id, result, respond) if id in self._cancelled:
                # The vendor no longer waits for it, but the function may have done something.
                self._added.append(f"(result of {self._calls.pop(id, 'unnamed')}: {result})")
                if respond:
                    self._waiting.append(_CONTINUE)
            case FunctionResult(id, result, respond):
                if respond:  # the vendor continues by itself
                    self._active = _Answer(asked=True)
                response = {"id": id, "name": self._calls.pop(id, "unnamed"), "response": {"output": result}}
                yield {"toolResponse": {"functionResponses": [response]}}
            case Heard(_, answer):
                self._stop(answer)
        yield from self.due()

    def due(self) -> Iterator[Sent]:
        """Yield the next text, if the vendor is free."""
        if self._active is None and self._waiting and (text := self._waiting[0]) is not None:
            self._waiting.popleft()
            self._active = _Answer(asked=True)
            said = "\n".join([*self._added, text])
            self._added.clear()
            if not self.endpointing:
                yield {"realtimeInput": {"activityStart": {}}}
            yield {"realtimeInput": {"text": said}}
            if not self.endpointing:
                yield {"realtimeInput": {"activityEnd": {}}}

    def _stop(self, number: int) -> None:
        later = number - self._ended
        if later == 0 and self._active is not None:
            self._active.stopped = True
        elif 0 <= (at := later - (self._active is not None)) < len(self._waiting):
            self._waiting[at] = None

    # ---- what arrives ------------------------------------------------------------------------------------------------

    def take(self, message: Mapping[str, Any]) -> list[SpeechPiece]:
        """Return the pieces of a message."""
        pieces = [*self._take(message)]
        while self.has_stopped:
            if self._active is None:
                self._waiting.popleft()
            else:
                self._active, self._drops = None, True
            self._ended += 1
            pieces.append(AnswerEnded())
        return pieces

    def _take(self, message: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        self._usage = message.get("usageMetadata", self._usage)
        self._closes = self._closes or "goAway" in message
        self._cancelled.update(message.get("toolCallCancellation", {}).get("ids", []))
        match message.get("voiceActivity", {}).get("voiceActivityType"):
            case "ACTIVITY_START":
                yield from self._user_begins()
            case "ACTIVITY_END":
                yield from self._user_ends()
            case _:
                pass
        if (content := message.get("serverContent")) is not None:
            yield from self._content(content)
        if (calls := message.get("toolCall")) is not None:
            for call in calls["functionCalls"]:
                self._calls[call["id"]] = call["name"]
                yield from self._begin(ToolCall.parse(call["id"], call["name"], call.get("args")))
            if not self._drops:
                yield from self._end()  # the vendor waits for the results

    def _content(self, content: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        if (heard := content.get("inputTranscription")) is not None:
            yield from self._transcribe(heard)
        if content.get("interrupted"):
            self._interrupted = True
            if not self._drops:
                yield from self._user_begins()
        for part in content.get("modelTurn", {}).get("parts", []):
            if (blob := part.get("inlineData")) is not None:
                rate = _RATE.search(blob.get("mimeType", ""))
                yield from self._begin(Audio(b64decode(blob["data"]), int(rate[1]) if rate else _DEFAULT_RATE))
            elif part.get("text") and not part.get("thought"):
                yield from self._begin(Text(part["text"]))
        if said := content.get("outputTranscription", {}).get("text"):
            yield from self._begin(Text(said))
        if content.get("turnComplete"):
            if (reason := content.get("turnCompleteReason", _ENDED[0])) not in _ENDED:
                log.warning("google ended an answer early: %s", shown(reason))
            if not self._drops:
                yield from self._end()
            self._drops = self._interrupted = False

    def _begin(self, piece: Audio | Text | ToolCall) -> Iterator[SpeechPiece]:
        if self._drops:
            return
        if self._active is None:
            self._active = _Answer(asked=False)
        if not self._active.begun:
            self._active.begun, self._interrupted = True, False
            yield from self._user_ends()
        yield piece

    def _end(self) -> Iterator[SpeechPiece]:
        answer, self._active = self._active, None
        is_empty = not (self._interrupted or (answer and answer.begun))  # the vendor has nothing to say, or may not
        if is_empty or not (self._speaks or self._activity):
            yield from self._user_ends()
        if not self._interrupted:  # else the answer to the user is to come
            self._unanswered = False
        if self._usage:
            yield Usage(
                self._usage.get("promptTokenCount", 0) + self._usage.get("toolUsePromptTokenCount", 0),
                self._usage.get("responseTokenCount", 0) + self._usage.get("thoughtsTokenCount", 0),
                model=self.model,
                cached_tokens=self._usage.get("cachedContentTokenCount", 0),
                reasoning_tokens=self._usage.get("thoughtsTokenCount", 0),
            )
            self._usage = {}
        if answer is not None and (answer.asked or answer.begun):
            self._ended += 1
            yield AnswerEnded()

    # ---- the user ----------------------------------------------------------------------------------------------------

    def _user_begins(self) -> Iterator[SpeechPiece]:
        if self.endpointing and not self._speaks:
            self._speaks = True
            yield SpeechBegan()

    def _user_ends(self) -> Iterator[SpeechPiece]:
        """End what the user says: the model answers, and more words do not belong to it."""
        if self._heard.strip():
            yield Transcript(self._heard.strip(), final=True, language=self._language)
        self._heard = ""
        if self._speaks:
            self._speaks, self._unanswered = False, True
            yield SpeechEnded()

    def _transcribe(self, heard: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        self._language = heard.get("languageCode") or self._language
        if text := heard.get("text"):
            if self._active is None or not self._active.begun:
                yield from self._user_begins()
            self._heard += text
            yield Transcript(self._heard.strip(), final=False, language=self._language)
        if heard.get("finished") and self._heard.strip():
            yield Transcript(self._heard.strip(), final=True, language=self._language)
            self._heard = ""
