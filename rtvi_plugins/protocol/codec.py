"""Decode JSON text to messages, and encode messages. Only here, invalid JSON is rejected.

The answer to an invalid message has the message's id, if `refused_id` finds it. Published clients write the id last,
after the data; others write it first. Of a long text, which may have megabytes, only the start and the end are read.
"""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from ..errors import InvalidMessage, MessageTooDeep, MessageTooLarge
from ..utils.json_values import check_json, describe_json

__all__ = ("LABEL", "decode", "decode_json", "encode", "encode_json", "encode_spliced", "refused_id")

#: The label of every RTVI message. Clients ignore messages without it.
LABEL = "rtvi-ai"


def decode(text: str, *, size: int, depth: int) -> dict[str, Any]:
    """Return the JSON object in a text of at most `size` characters and `depth` levels."""
    if len(text) > size:
        raise MessageTooLarge(f"The message is {len(text)} characters long; at most {size} are accepted.")
    # To count brackets is cheap, and most texts have fewer brackets than levels are accepted.
    if text.count("[") + text.count("{") > depth and _bracket_depth(text) > depth:
        raise MessageTooDeep(f"The message nests deeper than the {depth} levels that are accepted.")
    try:
        message: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(
            f"The message is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    if message.__class__ is not dict:
        raise InvalidMessage(
            f"A message must be a JSON object with label, type, id and data, not {describe_json(message)}."
        )
    return cast("dict[str, Any]", message)


def _bracket_depth(text: str) -> int:
    """Return the nesting depth of the brackets outside of strings."""
    deepest = level = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def encode(type: str, id: str | None, data: Any) -> str:
    """Encode a message. An `id` or `data` of None is left out. Raise `TypeError` for what JSON cannot carry."""
    message: dict[str, Any] = {"label": LABEL, "type": type}
    if id is not None:
        message["id"] = id
    if data is not None:
        message["data"] = data
    return _json_text(message, data)


def encode_json(value: Any) -> str:
    """Encode a value. Raise `TypeError` for what JSON cannot carry."""
    return _json_text(value, value)


def decode_json(text: str) -> Any:
    """Decode a text that `encode_json` has made."""
    return orjson.loads(text)


def _json_text(value: Any, data: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson's text names neither the path nor the value
        check_json(data)
        raise


def encode_spliced(type: str, id: str, data: str) -> str:
    """Encode a message whose data is JSON text already."""
    return f'{{"label":"{LABEL}","type":"{type}","id":{encode_json(id)},"data":{data}}}'


# How many characters, and how many tokens of them, are read from the start of a text, and how many from before its end.
_HEAD, _TOKENS, _TAIL = 16_384, 2_000, 4_096
# A text with more characters, or with more quotes and backslashes, is not checked for open brackets.
_BRACKETS_CHECKED, _MOST_QUOTES = 262_144, 50_000

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
    whole, id = _head_id(text)
    return id if whole or id is not None else _tail_id(text)


def _head_id(text: str) -> tuple[bool, Any]:
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
            id = _decoded_id(token["id"])
    return len(text) <= _HEAD, id


def _tail_id(text: str) -> Any:
    """Read the end of a long text. Return the id of the object that its last bracket closes."""
    member = _MEMBER.search(text, len(text) - _TAIL)
    if member is None or not text.rstrip().endswith("}") or _has_open_brackets(text):
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
            ids[level] = _decoded_id(token["id"])
    return last


def _has_open_brackets(text: str) -> bool:
    """Return whether brackets stay open, as in a truncated text: then the last bracket closes an inner object."""
    if len(text) > _BRACKETS_CHECKED or text.count('"') + text.count("\\") > _MOST_QUOTES:
        return False
    outside = "".join(_ESCAPE.sub("", text).split('"')[::2])
    return outside.count("{") != outside.count("}") or outside.count("[") != outside.count("]")


def _decoded_id(written: str | None) -> Any:
    try:
        return None if written is None else orjson.loads(written)
    except orjson.JSONDecodeError:  # half a surrogate pair, or a control character
        return None
