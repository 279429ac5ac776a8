"""Put function calls together from their fragments, in the many ways in which servers send them.

By OpenAI's own rule the first fragment of a call has its `index`, `id` and name, and those that follow have the
index and more text of the arguments. Other servers leave out the index or the id, use one index for several calls,
repeat all fields with each fragment, send the arguments as an object, or the last fragment under the next index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self
from uuid import uuid4

from attrs import define, field, frozen

from rtvi_plugins.kinds import ToolCall

from ._json import object_of, parse, text, whole_characters

__all__ = ("Calls",)

#: The name of a call to which the server gave none. The LLM is told that there is no such function.
_UNNAMED = "unnamed"
#: Arguments that say nothing. Some servers send one of them first, and the text of the arguments after it.
_NOTHING = ("", "{}", "null")


@frozen
class _Fragment:
    """What a delta says of a call. An index that is no number counts as absent."""

    index: int | None
    id: str
    name: str
    arguments: str
    #: The arguments came as an object: they are all there is.
    is_whole: bool

    @classmethod
    def read(cls, delta: Mapping[str, Any]) -> Self:
        function = object_of(delta.get("function")) or delta
        index, arguments = delta.get("index"), function.get("arguments")
        is_whole = arguments is not None and not isinstance(arguments, str)
        return cls(
            index=index if isinstance(index, int) and not isinstance(index, bool) else None,
            id=text(delta.get("id")).strip(),
            name=text(function.get("name")).strip(),
            arguments=json.dumps(arguments) if is_whole else text(arguments),
            is_whole=is_whole,
        )


@define(eq=False)
class _Call:
    """A call of which a part has arrived."""

    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the arguments may be all: JSON, or nothing at all."""
        return self.arguments.strip() in _NOTHING or parse(self.arguments) is not None

    def is_followed_by(self, fragment: _Fragment) -> bool:
        """Whether a fragment that could be of this call begins another."""
        if fragment.id and self.id and fragment.id != self.id:
            return True
        if not (fragment.name and self.name and self.is_complete):
            return False
        if fragment.name != self.name:
            return True
        return self.arguments.strip() not in _NOTHING and not self._says_again(fragment)

    def _says_again(self, fragment: _Fragment) -> bool:
        """Whether a fragment adds nothing to a complete call; some servers send all of it again at the end."""
        return fragment.arguments.strip() in (*_NOTHING, self.arguments.strip())

    def add(self, fragment: _Fragment) -> None:
        # Some servers repeat the id and the name with every fragment, so the first of each stands.
        self.id, self.name = self.id or fragment.id, self.name or fragment.name
        if fragment.is_whole or self.arguments.strip() in _NOTHING:
            self.arguments = fragment.arguments
        elif not (self._says_again(fragment) and self.is_complete):
            self.arguments += fragment.arguments


@define(eq=False)
class Calls:
    """The calls of one answer, in the order in which they began."""

    _calls: list[_Call] = field(factory=list[_Call])

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take an item of `tool_calls`."""
        fragment = _Fragment.read(delta)
        call = self._continued_by(fragment)
        if call is None or call.is_followed_by(fragment):
            call = _Call(fragment.index)
            self._calls.append(call)
        call.add(fragment)

    def end(self) -> Iterator[ToolCall]:
        """Yield the calls as they were put together. Their ids are the server's, or made up where it gave none."""
        for call in self._joined():
            id = call.id or uuid4().hex[:9]  # the form that the strictest vendor demands of an id
            yield ToolCall.parse(id, call.name or _UNNAMED, whole_characters(call.arguments))

    def __bool__(self) -> bool:
        return bool(self._calls)

    def _continued_by(self, fragment: _Fragment) -> _Call | None:
        """Return the call that a fragment continues by its index or id, or else the last; None where it begins one."""
        latest = list(reversed(self._calls))
        of_index = next((each for each in latest if each.index == fragment.index), None)
        of_id = next((each for each in latest if fragment.id and each.id == fragment.id), None)
        last = latest[0] if latest else None
        if fragment.index is None:
            return of_id or last
        if of_index is not None or fragment.name:
            return of_index
        return of_id if fragment.id else last

    def _joined(self) -> list[_Call]:
        """Return the calls, with those that have no name joined to the one before them if that is not complete."""
        joined: list[_Call] = []
        for call in self._calls:
            if not call.name and joined and not joined[-1].is_complete:
                joined[-1].arguments += call.arguments
            elif call.name or call.arguments.strip() not in _NOTHING:
                joined.append(call)
        return joined
