"""A conversation over the Realtime API: the events to send for each input, and the pieces of each event that arrives.

Nothing here reads from the network. The vendor gives one answer at a time, so others that were asked for wait here.
"""

from __future__ import annotations

from base64 import b64decode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field

from rtvi_plugins.context import Message
from rtvi_plugins.errors import ProviderError
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

from ._failures import category_of

__all__ = ("RATE", "STOPPED", "Realtime", "failure_of", "items_of", "usage_of")

Event: TypeAlias = "dict[str, Any]"

#: The rate of the audio in both directions, in Hz.
RATE: Final = 24_000
#: Delivered to the reader after an answer was stopped that had not begun.
STOPPED: Final[Event] = {"type": "rtvi.stopped"}
#: The ids of events that may come too late, after what they are about has ended.
_MAY_FAIL: Final = ("cancel", "truncate", "commit")
_BUSY: Final = "conversation_already_has_active_response"


@define(eq=False)
class _Answer:
    """An answer that the vendor gives, or has given."""

    id: str | None
    asked: bool
    begun: bool = False
    #: The item with its audio, and the length of that.
    item: str | None = None
    seconds: float = 0.0


@define(eq=False)
class Realtime:
    """The state of one conversation. Errors of reading an event mean that it is malformed."""

    provider: str
    endpointing: bool
    model: str | None = None
    #: The answers that wait for their turn. None: it was stopped.
    _waiting: deque[Event | None] = field(factory=deque["Event | None"], init=False)
    #: The request for an answer that the vendor has not confirmed.
    _sent: Event | None = field(default=None, init=False)
    _active: _Answer | None = field(default=None, init=False)
    #: The answers that have ended, by their number.
    _ended: list[_Answer] = field(factory=list[_Answer], init=False)
    #: The numbers of the utterances by the ids of their items, and their interim transcripts.
    _utterances: dict[str, int] = field(factory=dict[str, int], init=False)
    _interim: dict[str, str] = field(factory=dict[str, str], init=False)

    @property
    def is_waiting(self) -> bool:
        """Whether the vendor owes an event."""
        return self._sent is not None or self._active is not None

    @property
    def has_stopped(self) -> bool:
        """Whether an answer was stopped that had not begun, and its turn has come. `take` then ends it."""
        return not self.is_waiting and bool(self._waiting) and self._waiting[0] is None

    # ---- what is sent ------------------------------------------------------------------------------------------------

    def give(self, item: SpeechInput) -> Iterator[Event]:
        """Yield the events for an input. The audio itself is sent by the caller."""
        match item:
            case Pause() if not self.endpointing:
                yield {"type": "input_audio_buffer.commit", "event_id": "commit"}
                self._ask()
            case Typed(text):
                yield from items_of([{"role": "user", "content": text}])
                self._ask()
            case Added(message):
                yield from items_of([message])
            case Respond(None):
                self._ask()
            case Respond(str(say)):
                order = f"Say the following text, word for word, and nothing else:\n{say}"
                self._ask({"instructions": order, "tool_choice": "none"})
            case FunctionResult(id, result, respond):
                yield _item({"type": "function_call_output", "call_id": id, "output": result})
                if respond:
                    self._ask()
            case Heard():
                yield from self._stop(item)
            case _:
                pass
        yield from self.due()

    def due(self) -> Iterator[Event]:
        """Yield the request for the next answer, if the vendor is free."""
        if not self.is_waiting and self._waiting and (request := self._waiting[0]) is not None:
            self._waiting.popleft()
            self._sent = request
            yield request

    def _ask(self, response: Mapping[str, Any] | None = None) -> None:
        self._waiting.append(
            {
                "type": "response.create",
                "event_id": "ask",
                "response": {**(response or {}), "metadata": {"asked": "yes"}},
            }
        )

    def _stop(self, heard: Heard) -> Iterator[Event]:
        later = heard.answer - len(self._ended)
        if later < 0:
            yield from _truncate(self._ended[heard.answer], heard.seconds)
        elif self.is_waiting and later == 0:
            yield {"type": "response.cancel", "event_id": "cancel"}
            if self._active is not None:
                yield from _truncate(self._active, heard.seconds)
        elif (at := later - self.is_waiting) < len(self._waiting):
            self._waiting[at] = None

    # ---- what arrives ------------------------------------------------------------------------------------------------

    def take(self, event: Mapping[str, Any]) -> list[SpeechPiece]:
        """Return the pieces of an event. Raise `ProviderError` if it reports an error that ends the conversation."""
        pieces = [*self._take(event)]
        while self.has_stopped:
            self._waiting.popleft()
            self._ended.append(_Answer(None, asked=True))
            pieces.append(AnswerEnded())
        return pieces

    def _take(self, event: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        match event["type"]:
            case "response.created":
                metadata: Mapping[str, str] = event["response"].get("metadata") or {}
                asked = "asked" in metadata
                self._active = _Answer(event["response"]["id"], asked)
                self._sent = None if asked else self._sent
            case "response.output_audio.delta" if self._active:
                audio = Audio(b64decode(event["delta"]), RATE)
                self._active.item, self._active.begun = event["item_id"], True
                self._active.seconds += audio.seconds
                yield audio
            case "response.output_audio_transcript.delta" | "response.output_text.delta" if self._active:
                self._active.begun = True
                yield Text(event["delta"])
            case "response.output_item.done" if self._active and event["item"]["type"] == "function_call":
                call = event["item"]
                if call.get("status") != "incomplete":  # it was interrupted
                    self._active.begun = True
                    yield ToolCall.parse(call["call_id"], call["name"], call["arguments"])
            case "response.done":
                yield from self._end(event["response"])
            case "error":
                self._refuse(event["error"])
            case type:
                yield from self._hear(type, event)

    def _hear(self, type: str, event: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        match type:
            case "input_audio_buffer.speech_started" if self.endpointing:
                self._utterances[event["item_id"]] = len(self._utterances)
                yield SpeechBegan()
            case "input_audio_buffer.speech_stopped" if self.endpointing:
                yield SpeechEnded()
            case "input_audio_buffer.committed" if not self.endpointing:
                self._utterances[event["item_id"]] = len(self._utterances)
            case "conversation.item.input_audio_transcription.delta":
                text = self._interim[event["item_id"]] = self._interim.get(event["item_id"], "") + (
                    event["delta"] or ""
                )
                yield Transcript(text.strip(), final=False, utterance=self._utterances.get(event["item_id"]))
            case "conversation.item.input_audio_transcription.completed":
                self._interim.pop(event["item_id"], None)
                languages: Sequence[Mapping[str, str]] = event.get("languages") or [{}]
                yield Transcript(
                    event["transcript"].strip(),
                    final=True,
                    language=languages[0].get("code"),
                    utterance=self._utterances.get(event["item_id"]),
                )
            case "conversation.item.input_audio_transcription.failed":  # no more of it comes
                text = self._interim.pop(event["item_id"], "")
                yield Transcript(text.strip(), final=True, utterance=self._utterances.get(event["item_id"]))
            case _:  # an event that needs nothing; others may be added at any time
                pass

    def _end(self, response: Mapping[str, Any]) -> Iterator[SpeechPiece]:
        if response["status"] == "failed":
            raise failure_of(self.provider, response)
        answer, self._active = self._active, None
        if response.get("usage") is not None:
            yield usage_of(response, self.model)
        if answer is not None and (answer.asked or answer.begun):
            self._ended.append(answer)
            yield AnswerEnded()

    def _refuse(self, error: Mapping[str, Any]) -> None:
        if error.get("code") == _BUSY and self._sent is not None:
            self._waiting.appendleft(self._sent)  # an answer to speech has begun meanwhile
            self._sent = None
        elif error.get("event_id") not in _MAY_FAIL:
            raise ProviderError(self.provider, category_of(error))


def failure_of(provider: str, response: Mapping[str, Any]) -> ProviderError:
    """Return the error of a response that has failed."""
    details: Mapping[str, Any] = response.get("status_details") or {}
    return ProviderError(provider, category_of(details.get("error") or {}))


def usage_of(response: Mapping[str, Any], model: str | None = None) -> Usage:
    """Return the tokens of a response that has ended: none if the vendor does not report them."""
    usage: Mapping[str, Any] = response.get("usage") or {}
    cached: Mapping[str, int] = usage.get("input_token_details") or {}
    return Usage(
        usage.get("input_tokens") or 0,
        usage.get("output_tokens") or 0,
        model=model,
        cached_tokens=cached.get("cached_tokens") or 0,
    )


def _truncate(answer: _Answer, seconds: float) -> Iterator[Event]:
    if answer.item is not None:
        milliseconds = int(1000 * min(seconds, answer.seconds))
        what = {"item_id": answer.item, "content_index": 0, "audio_end_ms": milliseconds}
        yield {"type": "conversation.item.truncate", "event_id": "truncate", **what}


# ---- messages --------------------------------------------------------------------------------------------------------


def items_of(messages: Sequence[Message]) -> Iterator[Event]:
    """Yield the events that add messages to the conversation."""
    for message in messages:
        role, text = message["role"], text_of(message["content"])
        if role == "tool":
            yield _item({"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": text})
            continue
        if text.strip():
            type = "output_text" if role == "assistant" else "input_text"
            said = {"role": "system" if role == "developer" else role, "content": [{"type": type, "text": text}]}
            yield _item({"type": "message", **said})
        for call in message.get("tool_calls", []):
            function: Mapping[str, Any] = call["function"]
            what = {"call_id": call["id"], "name": function["name"], "arguments": function["arguments"]}
            yield _item({"type": "function_call", **what})


def _item(item: Event) -> Event:
    return {"type": "conversation.item.create", "item": item}
