"""What a vendor wants back with function calls: the thoughts that led to them, and signatures.

Many models that think refuse a conversation in which a function call comes without its thoughts. OpenRouter has them in
`reasoning_details`, and others in `reasoning_content`. Google's signature is in the `extra_content` of a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, field

from ._json import array, object_of, text, whole_characters

__all__ = ("Reasoning", "given_back", "to_give_back")

#: What is given back. The conversation may have anything else: clients can be granted to replace it.
_FIELDS = ("reasoning_content", "reasoning_details", "extra_content")
#: These fields of a detail come in parts, which are joined. Of all other fields, the last value is kept.
_JOINED = ("text", "summary")


@define(eq=False)
class Reasoning:
    """The thoughts of one answer, from its deltas."""

    #: The parts of a text are joined at the end: there may be tens of thousands.
    _text: list[str] = field(factory=list[str])
    _details: list[dict[str, Any]] = field(factory=list[dict[str, Any]])

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add what a delta has."""
        self._text.append(text(delta.get("reasoning_content")))
        for each in map(object_of, array(delta.get("reasoning_details"))):
            if self._details and _continues(self._details[-1], each):
                _join(self._details[-1], each)
            elif each:
                self._details.append({**each, **{name: [text(each[name])] for name in _JOINED if name in each}})

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the message that has the calls."""
        if self._details:
            return {"reasoning_details": [_whole(each) for each in self._details]}
        content = whole_characters("".join(self._text))
        return {"reasoning_content": content} if content else {}


def _continues(last: Mapping[str, Any], each: Mapping[str, Any]) -> bool:
    return each.get("index") is not None and all(each.get(name) == last.get(name) for name in ("type", "index"))


def _join(last: dict[str, Any], each: Mapping[str, Any]) -> None:
    for name, value in each.items():
        if name in _JOINED:
            last.setdefault(name, []).append(text(value))
        elif value is not None:
            last[name] = value


def _whole(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {**detail, **{name: whole_characters("".join(detail[name])) for name in _JOINED if name in detail}}


def to_give_back(vendor: str, message: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra of a call: fields of its message, and of the call itself. It is empty without any.

    All vendors with this API share a class of provider. So the extra names its vendor: others may refuse the fields.
    What JSON cannot carry is lost.
    """
    if not (message or call):
        return {}
    try:
        extra: dict[str, Any] = orjson.loads(orjson.dumps({"vendor": vendor, "message": message, "call": call}))
    except TypeError:
        return {}
    return extra


def given_back(vendor: str, calls: Iterable[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """Return the fields that these calls of an earlier answer brought for a part: "message" or "call"."""
    extras = [object_of(each.get("extra")) for each in calls]
    own = [object_of(each.get(part)) for each in extras if each.get("vendor") == vendor]
    return {name: value for fields in own for name, value in fields.items() if name in _FIELDS}
