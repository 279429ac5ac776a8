"""One completion of the LLM: its sentences, its function calls with their results, and its messages for the context.

Sentences are shown as they come, and spoken where the turn is spoken.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

import anyio.lowlevel
from attrs import define, field

from ..clock import Deadline
from ..context import Message, MessageWithThoughts, without_vendor_data
from ..events import BotOutput, Metrics
from ..kinds import Thought, ToolCall, Usage
from ..session import Session
from .provider_streams import BATCH
from .sentences import Sentences
from .speech_synthesis import Speech
from .tool_calls import MOST_CALLS, clean_call, too_many_calls, with_unique_id

__all__ = ("Completion", "as_sent")

log = logging.getLogger("rtvi_plugins")

#: How long a sentence waits for the next word, which may show that it has not ended, in seconds.
_PAUSE: Final = 0.2


@define(eq=False)
class Completion:
    """A completion as far as it has come, and its speech. `speech` is None if it is not spoken."""

    session: Session
    next_segment: Callable[[], int]
    speech: Speech | None
    text: str = ""
    calls: list[ToolCall] = field(factory=list[ToolCall])
    #: The class of the provider, whose thoughts and extras these are.
    provider: str = ""
    #: The results by the ids of the calls, once the calls have ended or were cancelled.
    results: dict[str, str] | None = None
    first_at: float | None = None
    usage: Usage | None = None
    #: The LLM has finished.
    is_whole: bool = False
    #: The LLM has finished, or has failed, and the calls have their results.
    is_settled: bool = False
    #: The thoughts that have ended, and the pieces of the last one.
    _thoughts: list[dict[str, Any]] = field(factory=list[dict[str, Any]])
    _thought: list[str] = field(factory=list[str])
    _started_at: float = field(init=False)
    _sentences: Sentences = field(factory=Sentences)
    _sentence_pause: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.session.clock.now()
        self._sentence_pause = Deadline(self.session.clock, self.put_waiting)

    @property
    def is_empty(self) -> bool:
        """Return whether there is neither a call nor any visible text."""
        return _is_blank(self.text) and not self.calls

    def metrics(self) -> Metrics:
        """Return the measurements of the LLM, which ends now."""
        return Metrics(
            "llm",
            ttfb=self.first_at - self._started_at if self.first_at is not None else None,
            processing=self.session.clock.now() - self._started_at,
            prompt_tokens=self.usage.prompt_tokens if self.usage else None,
            completion_tokens=self.usage.completion_tokens if self.usage else None,
            model=self.usage.model if self.usage else None,
            cached_tokens=(self.usage.cached_tokens or None) if self.usage else None,
            reasoning_tokens=(self.usage.reasoning_tokens or None) if self.usage else None,
        )

    # ---- what the LLM yields -----------------------------------------------------------------------------------------

    def restart(self, provider: str) -> None:
        """Forget the text and the thoughts of an attempt that has failed: another one begins, by this provider."""
        self.text, self.provider, self._sentences = "", provider, Sentences()
        self._thoughts.clear()
        self._thought.clear()

    async def write(self, text: str) -> None:
        """Add text, and put out the sentences that it completes. If the LLM then pauses, a finished one follows."""
        self.text += text
        await self._put_sentences(self._sentences.feed(text))
        if self._sentences.waits:
            self._sentence_pause.move(self.session.clock.now() + _PAUSE)

    async def end_text(self) -> None:
        """Put out the rest of the text."""
        await self._put_sentences(self._sentences.flush())

    def put_waiting(self) -> None:
        """Put out the sentence that waits for the next word, if one does."""
        if not self.is_settled:
            for sentence in self._sentences.settle():
                self._put_sentence(sentence)

    async def _put_sentences(self, sentences: Sequence[str]) -> None:
        for number, sentence in enumerate(sentences, 1):
            self._put_sentence(sentence)
            if number % BATCH == 0:
                await anyio.lowlevel.checkpoint()

    def _put_sentence(self, sentence: str) -> None:
        if self.speech is not None:
            self.speech.say(sentence)
        else:
            self.session.emit(BotOutput(sentence, self.next_segment()))

    def add_call(self, call: ToolCall, ids: Collection[str]) -> None:
        """Add a function call, with an id that is none of `ids`.

        The LLM reads that the first one over the limit is refused; more are dropped.
        """
        count = len(self.calls)
        if count > MOST_CALLS:
            return
        call = with_unique_id(clean_call(call), ids)
        if count == MOST_CALLS:
            log.warning("an LLM called more than %d functions in one answer; the others were not called", MOST_CALLS)
            call = too_many_calls(call)
        self.calls.append(call)

    def think(self, thought: Thought) -> None:
        """Add a piece of a thought. One with `extra` ends the thought."""
        self._thought.append(thought.text)  # joined at the end: there may be tens of thousands
        if thought.extra:
            self._thoughts.append({"text": "".join(self._thought), "extra": thought.extra})
            self._thought.clear()

    # ---- what the context gets ---------------------------------------------------------------------------------------

    def is_over(self, heard: float) -> bool:
        """Return whether it is settled, and its speech was heard to its end after `heard` seconds of the turn."""
        return self.is_settled and (self.speech is None or self.speech.is_settled(heard))

    def messages(self, heard: float | None) -> list[Message]:
        """Return its messages for the context after `heard` seconds of the turn. None means that all of it was heard.

        Calls come with their results, in the order that vendors demand, so that no call is left without one.
        """
        text, cut = self.text, not self.is_whole
        if self.speech is not None and heard is not None:
            spoken = self.speech.heard_text(heard, self.text, self._sentences.rest)
            text, cut = (self.text, cut) if spoken is None else (spoken, True)
        if self.calls and self.results is not None:
            return self._with_results(text, cut and self.speech is not None, self.results)
        return [] if _is_blank(text) else [_marked(self._with_thoughts({"role": "assistant", "content": text}), cut)]

    def _with_thoughts(self, message: Message) -> Message:
        """Return the message with the thoughts before it. Vendors refuse thoughts that are not whole."""
        last = [{"text": "".join(self._thought)}] if self._thought else []
        if self.is_whole and (thoughts := [*self._thoughts, *last]):
            return MessageWithThoughts(**message, thoughts=[{self.provider: each} for each in thoughts])
        return message

    def _with_results(self, text: str, cut: bool, results: dict[str, str]) -> list[Message]:
        request: Message = {
            "role": "assistant",
            "content": text or None,
            "tool_calls": [self._call_for_context(call) for call in self.calls],
        }
        replies: list[Message] = [
            {"role": "tool", "tool_call_id": call.id, "content": results[call.id]} for call in self.calls
        ]
        return [_marked(self._with_thoughts(request), cut), *replies]

    def _call_for_context(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)}
        extra = {"extra": {self.provider: call.extra}} if call.extra else {}
        return {"id": call.id, "type": "function", "function": function, **extra}


def as_sent(messages: Sequence[Message], provider: str) -> list[Message]:
    """Return the messages as a provider gets them: without our mark, and without the vendor data of other providers."""
    return [
        cast(Message, {name: value for name, value in each.items() if name != "interrupted"})
        for each in without_vendor_data(messages, provider)
    ]


def _is_blank(text: str) -> bool:
    """Return whether a text shows nothing. Some models answer with a byte order mark, or a space of no width."""
    return not any(each.isprintable() and not each.isspace() for each in text)


def _marked(message: Message, cut: bool) -> Message:
    """Return the message, marked as interrupted if it was cut."""
    return {**message, "interrupted": True} if cut else message
