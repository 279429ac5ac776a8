"""One completion of the LLM: its text, its function calls with their results, and its messages for the context."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from attrs import define, field

from ..context import Message
from ..events import Metrics
from ..kinds import ToolCall, Usage
from .speech import Speech

__all__ = ("Completion", "as_sent")


@define(eq=False)
class Completion:
    """A completion so far, and its speech. `speech` is None if it is not spoken."""

    started_at: float
    speech: Speech | None
    text: str = ""
    calls: list[ToolCall] = field(factory=list[ToolCall])
    #: The results by the ids of the calls, once the calls have ended or were given up.
    results: dict[str, str] | None = None
    first_at: float | None = None
    usage: Usage | None = None
    #: The LLM has finished.
    is_whole: bool = False
    #: The LLM has finished, or has failed, and the calls have their results.
    is_settled: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether there is neither a call nor any visible text."""
        return _is_blank(self.text) and not self.calls

    def metrics(self, now: float) -> Metrics:
        """Return the measurements of the LLM, which ends now."""
        return Metrics(
            "llm",
            ttfb=self.first_at - self.started_at if self.first_at is not None else None,
            processing=now - self.started_at,
            prompt_tokens=self.usage.prompt_tokens if self.usage else None,
            completion_tokens=self.usage.completion_tokens if self.usage else None,
            model=self.usage.model if self.usage else None,
        )

    def is_over(self, heard: float) -> bool:
        """Return whether it is settled, and its speech was heard to its end after so many seconds of the turn."""
        return self.is_settled and (self.speech is None or self.speech.is_settled(heard))

    def messages(self, heard: float | None) -> list[Message]:
        """Return its messages for the context after so many seconds of the turn were heard; None takes all as heard.

        Calls come with their results, in the order that vendors demand, so that no call is left without one.
        """
        text, cut = self.text, not self.is_whole
        if self.speech is not None and heard is not None:
            spoken = self.speech.heard_text(heard, self.text)
            text, cut = (self.text, cut) if spoken is None else (spoken, True)
        if self.calls and self.results is not None:
            return self._with_results(text, cut and self.speech is not None, self.results)
        return [] if _is_blank(text) else [_marked({"role": "assistant", "content": text}, cut)]

    def _with_results(self, text: str, cut: bool, results: dict[str, str]) -> list[Message]:
        request: Message = {
            "role": "assistant",
            "content": text or None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
                }
                for call in self.calls
            ],
        }
        replies: list[Message] = [
            {"role": "tool", "tool_call_id": call.id, "content": results[call.id]} for call in self.calls
        ]
        return [_marked(request, cut), *replies]


def as_sent(messages: Sequence[Message]) -> list[Message]:
    """Return the messages as a provider gets them, without our mark for interrupted ones."""
    return [cast(Message, {name: value for name, value in each.items() if name != "interrupted"}) for each in messages]


def _is_blank(text: str) -> bool:
    """Return whether a text shows nothing. Some models answer with a byte order mark, or a space of no width."""
    return not any(each.isprintable() and not each.isspace() for each in text)


def _marked(message: Message, cut: bool) -> Message:
    """Return the message, marked if it was cut short."""
    return {**message, "interrupted": True} if cut else message
