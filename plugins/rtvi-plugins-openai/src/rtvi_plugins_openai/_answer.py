"""Put a streamed answer together from its chunks: text as it comes, function calls and usage at the end.

A function call arrives in slivers. The first names its id and function, each brings some more text of its arguments,
and those of several calls may be interleaved, told apart by `index`. Nothing here reads from the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, Text, ToolCall, Usage

from ._failures import category_of, error_in
from ._json import array, is_object, number, object_of, parse, text

__all__ = ("Answer",)

_DONE = "[DONE]"


@define
class _Call:
    """A function call of which a part has arrived."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(factory=list[str])

    def add(self, delta: Mapping[str, Any]) -> None:
        function = object_of(delta.get("function"))
        # Some servers repeat the id and the name with every sliver, so the first of each stands.
        self.id = self.id or text(delta.get("id"))
        self.name = self.name or text(function.get("name"))
        self.arguments.append(text(function.get("arguments")))


@define
class Answer:
    """One answer of `provider`, fed with the `data` of its server-sent events."""

    provider: str
    #: The vendor said that nothing follows.
    done: bool = False
    _finished: bool = False
    _calls: dict[int, _Call] = field(factory=dict[int, _Call])
    _usage: Usage | None = None

    def take(self, data: str) -> Iterator[Text]:
        """The text that an event brings. `ProviderError` when it reports an error, or is no chunk at all."""
        if data.strip() == _DONE:
            self.done = True
            return
        chunk = parse(data)
        if (error := error_in(chunk)) is not None:
            raise ProviderError(self.provider, category_of(error))
        if not is_object(chunk):
            raise ProviderError(self.provider, "unavailable")
        self._count(chunk)
        for choice in array(chunk.get("choices")):
            yield from self._choice(object_of(choice))

    def end(self) -> Iterator[LLMPiece]:
        """The function calls and the usage. `ProviderError` when the stream broke off, or a call cannot be read."""
        if not (self.done or self._finished):
            raise ProviderError(self.provider, "unavailable")
        yield from [self._tool_call(call) for _, call in sorted(self._calls.items())]
        if self._usage is not None:
            yield self._usage

    def _count(self, chunk: Mapping[str, Any]) -> None:
        if usage := object_of(chunk.get("usage")):
            self._usage = Usage(
                prompt_tokens=number(usage.get("prompt_tokens")),
                completion_tokens=number(usage.get("completion_tokens")),
                model=text(chunk.get("model")) or None,
            )

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[Text]:
        if number(choice.get("index")) != 0:  # other answers to choose from, which nobody asked for
            return
        self._finished = self._finished or bool(choice.get("finish_reason"))
        delta = object_of(choice.get("delta"))
        for call in array(delta.get("tool_calls")):
            self._call(object_of(call))
        if said := text(delta.get("content")) or text(delta.get("refusal")):
            yield Text(said)

    def _call(self, delta: Mapping[str, Any]) -> None:
        index = delta.get("index")
        if not isinstance(index, int):  # a server that does not count: an id begins the next call
            index = len(self._calls) - (0 if delta.get("id") or not self._calls else 1)
        self._calls.setdefault(index, _Call()).add(delta)

    def _tool_call(self, call: _Call) -> ToolCall:
        arguments = parse("".join(call.arguments).strip() or "{}")
        if not call.name or not is_object(arguments):
            raise ProviderError(self.provider, "bad-request")
        return ToolCall(call.id or f"call-{uuid4().hex}", call.name, arguments)
