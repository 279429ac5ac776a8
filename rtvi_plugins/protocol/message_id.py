"""Find the id of a message that was rejected before it was parsed, so that the answer can have this id.

Published clients write the id last, after the data; others write it first. A short text is read from its start to its
end. A long text may have megabytes, so only its start and its end are read.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

__all__ = ("refused_id",)

# How many characters, and how many tokens of them, are read from the start of a text, and how many from before its end.
_HEAD, _TOKENS, _TAIL = 16_384, 2_000, 4_096
# A text with more characters, or with more quotes and backslashes, is not checked for open brackets.
_CHECKED, _MARKS = 262_144, 50_000

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = r'"(?:i|\\u0069)(?:d|\\u0064)"\s*+:'
# A string that does not end is the last token: nothing after its quote is outside of it.
_TOKEN = re.compile(
    rf'(?P<key>{_KEY})\s*+(?P<id>{_STRING})?|{_STRING}|(?P<open>[\[{{])|(?P<close>[\]}}])|(?P<cut>")', re.DOTALL
)
_ESCAPE = re.compile(r"\\.", re.DOTALL)
# A comma before a name is outside of strings: a quote inside of one has a backslash before it, not a comma.
_MEMBER = re.compile(rf",\s*+(?={_KEY})")


def refused_id(text: str) -> Any:
    """Return the id of the outermost object, or None if it has none or it is too far from both ends."""
    whole, id = _outermost(text)
    return id if whole or id is not None else _tail_id(text)


def _outermost(text: str) -> tuple[bool, Any]:
    """Read from the start. Return whether the end was reached, and the id of the object that the text begins with."""
    level, id = 0, None
    for number, token in enumerate(_TOKEN.finditer(text, 0, _HEAD)):
        kind = token.lastgroup
        if number == _TOKENS:
            return False, id
        if kind == "cut":
            break
        if kind == "open":
            level += 1
        elif kind == "close":
            level -= 1
            if level <= 0:
                return True, id
        elif kind is not None and level == 1:
            id = _loaded(token["id"])
    return len(text) <= _HEAD, id


def _tail_id(text: str) -> Any:
    """Read the end of a long text. Return the id of the object that its last bracket closes."""
    member = _MEMBER.search(text, len(text) - _TAIL)
    if member is None or not text.rstrip().endswith("}") or _left_open(text):
        return None
    level, ids = 0, dict[int, Any]()
    last = None
    for token in _TOKEN.finditer(text, member.end()):
        kind = token.lastgroup
        if kind == "open":
            level += 1
            ids.pop(level, None)
        elif kind == "close":
            last = ids.get(level)
            level -= 1
        elif kind == "cut":
            return None
        elif kind is not None:
            ids[level] = _loaded(token["id"])
    return last


def _left_open(text: str) -> bool:
    """Return whether brackets stay open, as in a truncated text: then the last bracket closes an inner object."""
    if len(text) > _CHECKED or text.count('"') + text.count("\\") > _MARKS:
        return False
    outside = "".join(_ESCAPE.sub("", text).split('"')[::2])
    return outside.count("{") != outside.count("}") or outside.count("[") != outside.count("]")


def _loaded(written: str | None) -> Any:
    try:
        return None if written is None else orjson.loads(written)
    except orjson.JSONDecodeError:  # half a surrogate pair, or a control character
        return None
