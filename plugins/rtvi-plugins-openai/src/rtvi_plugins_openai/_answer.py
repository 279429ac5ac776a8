"""Assemble an answer from its chunks: text as it comes, function calls and usage at the end.

Nothing here reads from the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, Text, Usage
from rtvi_plugins.thoughts import WithoutThoughts

from ._calls import Calls
from ._failures import category_of, error_in
from ._json import array, is_object, number, object_of, parse, text, whole_characters
from ._reasoning import Reasoning

__all__ = ("Answer",)

_DONE = "[DONE]"


@define
class Answer:
    """One answer of `provider`, from the `data` of its server-sent events."""

    provider: str
    #: The vendor has sent the end.
    done: bool = False
    _finished: bool = False
    #: The server does not stream, and sends the whole message in one object.
    _is_whole: bool = False
    _calls: Calls = field(factory=Calls)
    #: A call in the older form, before `tool_calls`. Some servers send both forms.
    _old_call: Calls = field(factory=Calls)
    _reasoning: Reasoning = field(factory=Reasoning)
    _usage: Usage | None = None
    _half: str = ""
    _thoughts: WithoutThoughts = field(factory=WithoutThoughts)

    def take(self, data: str) -> Iterator[Text]:
        """Yield the text of an event. Raise `ProviderError` if it reports an error, or is not a chunk."""
        if not data:  # the event has only an id, or how long to wait before connecting again
            return
        if data.strip() == _DONE:
            self.done = True
            return
        yield from self._take(parse(data))

    def _take(self, chunk: object) -> Iterator[Text]:
        self._refuse_error(chunk)
        if not is_object(chunk):
            raise ProviderError(self.provider, "unavailable")
        self._count(chunk)
        for choice in array(chunk.get("choices")):
            yield from self._choice(object_of(choice))

    def take_whole(self, body: bytes) -> Iterator[Text]:
        """Yield the text of an answer that was not streamed. Raise `ProviderError` as `take` does."""
        self._is_whole = self.done = True
        yield from self._take(parse(body))

    def end(self) -> Iterator[LLMPiece]:
        """Yield the rest of the text, function calls and usage. Raise `ProviderError` if the stream ended too early."""
        if not (self.done or self._finished):
            raise ProviderError(self.provider, "unavailable")
        if said := self._thoughts.end():
            yield Text(said)
        yield from (self._calls or self._old_call).end(self.provider, self._reasoning.fields)
        if self._usage is not None:
            yield self._usage

    def _count(self, chunk: Mapping[str, Any]) -> None:
        if usage := object_of(chunk.get("usage")):
            self._usage = Usage(
                prompt_tokens=number(usage.get("prompt_tokens")),
                completion_tokens=number(usage.get("completion_tokens")),
                cached_tokens=number(object_of(usage.get("prompt_tokens_details")).get("cached_tokens")),
                reasoning_tokens=number(object_of(usage.get("completion_tokens_details")).get("reasoning_tokens")),
                model=text(chunk.get("model")) or None,
            )

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[Text]:
        if number(choice.get("index")) != 0:  # an alternative answer, which was not requested
            return
        self._refuse_error(choice)
        self._finished = self._finished or bool(choice.get("finish_reason"))
        delta = object_of(choice.get("message" if self._is_whole else "delta"))
        self._reasoning.add(delta)
        for call in array(delta.get("tool_calls")):
            self._calls.add(object_of(call))
        if old_call := object_of(delta.get("function_call")):
            self._old_call.add({"function": old_call})
        yield from self._text(_content(delta.get("content")) or text(delta.get("refusal")))

    def _refuse_error(self, value: object) -> None:
        if (error := error_in(value)) is not None:
            raise ProviderError(self.provider, category_of(error))

    def _text(self, said: str) -> Iterator[Text]:
        """Yield text, but keep half a character at its end, whose other half comes with the next chunk."""
        said = self._half + said
        self._half = said[-1:] if "\ud800" <= said[-1:] <= "\udbff" else ""
        if said := self._thoughts.feed(whole_characters(said[: len(said) - len(self._half)])):
            yield Text(said)


def _content(content: object) -> str:
    """Return the text of a content: itself, or its parts of type text, where a server also sends other parts."""
    parts = [object_of(each) for each in array(content)]
    return text(content) or "".join(text(each.get("text")) for each in parts if each.get("type") == "text")
