"""Assemble function calls from their fragments, which servers send in different ways.

With OpenAI, the first fragment of a call has its `index`, `id` and name, and later ones have the index and more text of
the arguments. Other servers omit the index or the id, use one index for several calls, repeat all fields in each
fragment, send all previous arguments again in each fragment, send the arguments as an object, or send the last fragment
under the next index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self
from uuid import uuid4

from attrs import define, field, frozen

from rtvi_plugins.kinds import ToolCall

from ._json import object_of, parse, text, whole_characters
from ._reasoning import to_give_back

__all__ = ("Calls",)

#: The name of a call for which the server sent none. The LLM then reads that there is no such function.
_UNNAMED = "unnamed"
#: Empty arguments. Some servers send one of these first, and then the text of the arguments.
_NOTHING = ("", "{}", "null")


@frozen
class _Fragment:
    """The fields of a delta. An index that is not a whole number, also as text, counts as absent."""

    index: int | None
    id: str
    name: str
    arguments: str
    #: The arguments came as an object, so they are complete.
    is_whole: bool
    extra: Mapping[str, Any]

    @classmethod
    def read(cls, delta: Mapping[str, Any]) -> Self:
        function = object_of(delta.get("function")) or delta
        arguments, id = function.get("arguments"), delta.get("id")
        is_whole = arguments is not None and not isinstance(arguments, str)
        return cls(
            index=_index(delta.get("index")),
            id=str(id) if isinstance(id, int) else text(id).strip(),
            name=text(function.get("name")).strip(),
            arguments=json.dumps(arguments) if is_whole else text(arguments),
            is_whole=is_whole,
            extra=object_of(delta.get("extra_content")),
        )


def _index(index: object) -> int | None:
    if isinstance(index, str) and index.isdecimal() and len(index) < 10:
        return int(index)
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


@define(eq=False)
class _Call:
    """A call that has partly arrived."""

    index: int | None
    id: str = ""
    name: str = ""
    #: The arguments of all fragments, joined.
    arguments: str = ""
    #: What the vendor wants back with the call, such as a signature.
    extra: Mapping[str, Any] = {}
    #: The arguments of the last fragment, as long as each fragment begins with those of the one before.
    _repeated: str | None = None
    #: The name came again after the arguments: the call is repeated, or another call of the same function begins.
    _named_again: bool = False

    @property
    def is_complete(self) -> bool:
        """Return whether the arguments may be complete: valid JSON, or nothing."""
        return self.arguments.strip() in _NOTHING or parse(self.arguments) is not None

    @property
    def has_all_arguments(self) -> bool:
        """Return whether there are arguments, and they are JSON."""
        return bool(self.arguments.strip()) and (self.is_complete or self.all_arguments != self.arguments)

    @property
    def all_arguments(self) -> str:
        """The arguments, once no more fragments come: joined, or else as the last fragment repeats all of them."""
        if self.is_complete or self._repeated is None or parse(self._repeated) is None:
            return self.arguments
        return self._repeated

    def is_followed_by(self, fragment: _Fragment) -> bool:
        """Return whether a fragment that might belong to this call begins another."""
        if fragment.id and self.id and fragment.id != self.id:
            return True
        if self._named_again and not fragment.name:
            return not self._is_repeated_by(fragment)
        if not (fragment.name and self.name and self.is_complete):
            return False
        if fragment.name != self.name:
            return not self._continues_name(fragment)
        return self.arguments.strip() not in _NOTHING and not self._is_repeated_by(fragment)

    def _is_repeated_by(self, fragment: _Fragment) -> bool:
        """Return whether a fragment repeats a complete call, which some servers do at the end."""
        return fragment.arguments.strip() in (*_NOTHING, self.arguments.strip())

    def _continues_name(self, fragment: _Fragment) -> bool:
        """Return whether a fragment has the next part of the name. Another call would have its own id or index."""
        is_same = self.index is not None and self.index == fragment.index
        return is_same and bool(self.id) and fragment.id in ("", self.id) and not self.arguments

    def add(self, fragment: _Fragment) -> None:
        # Some servers repeat the id and the name in every fragment, so the first of each counts.
        if self.name and fragment.name not in ("", self.name) and self._continues_name(fragment):
            self.name += fragment.name
        self._named_again = bool(fragment.name and self.arguments.strip() not in _NOTHING and self.is_complete)
        self.id, self.name = self.id or fragment.id, self.name or fragment.name
        self.extra = fragment.extra or self.extra
        self._note_repetition(fragment)
        if fragment.is_whole or self.arguments.strip() in _NOTHING:
            self.arguments = fragment.arguments
        elif not (self._is_repeated_by(fragment) and self.is_complete):
            self.arguments += fragment.arguments

    def _note_repetition(self, fragment: _Fragment) -> None:
        if self.arguments.strip() in _NOTHING:
            self._repeated = fragment.arguments
        elif fragment.arguments and self._repeated is not None:
            self._repeated = fragment.arguments if fragment.arguments.startswith(self._repeated) else None


@define(eq=False)
class Calls:
    """The calls of one answer, in their order."""

    _calls: list[_Call] = field(factory=list[_Call])

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add an item of `tool_calls`."""
        fragment = _Fragment.read(delta)
        call = self._continued_by(fragment)
        if call is None or call.is_followed_by(fragment):
            # If only arguments are left of a second call of one function, its name has already arrived.
            call = _Call(
                fragment.index, name=call.name if call is not None and not (fragment.id or fragment.name) else ""
            )
            self._calls.append(call)
        call.add(fragment)

    def end(self, vendor: str, fields: Mapping[str, Any]) -> Iterator[ToolCall]:
        """Yield the assembled calls. Ids that the server did not send are made up.

        `fields` are those that `vendor` wants back in a message with any of the calls.
        """
        for call in self._joined():
            id = call.id or uuid4().hex[:9]  # the form of ids that the strictest vendor requires
            own = {"extra_content": call.extra} if call.extra else {}
            extra = to_give_back(vendor, fields, own)
            yield ToolCall.parse(id, call.name or _UNNAMED, whole_characters(call.all_arguments), extra=extra)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def _continued_by(self, fragment: _Fragment) -> _Call | None:
        """Return the call that a fragment continues: by its index or id, or else the last. None if it begins one."""
        latest = list(reversed(self._calls))
        of_index = next((each for each in latest if each.index == fragment.index), None)
        of_id = next((each for each in latest if fragment.id and each.id == fragment.id), None)
        last = latest[0] if latest else None
        if fragment.index is None or (of_id is not None and of_index is not None and of_index.id != fragment.id):
            return of_id or last
        if of_index is not None or fragment.name:
            return of_index
        return of_id if fragment.id else last

    def _joined(self) -> list[_Call]:
        """Return the calls. One without a name is joined to the call before, if that lacks arguments."""
        joined: list[_Call] = []
        for call in self._calls:
            if not call.name and joined and not joined[-1].has_all_arguments:
                joined[-1].arguments += call.arguments
                joined[-1].extra = call.extra or joined[-1].extra
            elif call.name or call.arguments.strip() not in _NOTHING:
                joined.append(call)
        return joined
