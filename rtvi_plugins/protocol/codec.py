"""Decode JSON text to messages, and encode messages. Only here, invalid JSON is rejected."""

from __future__ import annotations

from typing import Any, cast

import orjson

from ..errors import InvalidMessage, MessageTooDeep, MessageTooLarge
from ..utils.json_values import check_json, describe_json

__all__ = ("LABEL", "decode", "encode", "encode_json", "encode_spliced")

#: The label of every RTVI message. Clients ignore messages without it.
LABEL = "rtvi-ai"


def decode(text: str, *, size: int, depth: int) -> dict[str, Any]:
    """Return the JSON object in a text of at most `size` characters and `depth` levels."""
    if len(text) > size:
        raise MessageTooLarge(f"The message is {len(text)} characters long; at most {size} are accepted.")
    # To count brackets is cheap, and most texts have fewer brackets than levels are accepted.
    if text.count("[") + text.count("{") > depth and _depth(text) > depth:
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


def _depth(text: str) -> int:
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
    """Encode a message. An `id` or `data` of None is left out. Raises `TypeError` for what JSON cannot carry."""
    message: dict[str, Any] = {"label": LABEL, "type": type}
    if id is not None:
        message["id"] = id
    if data is not None:
        message["data"] = data
    return _written(message, data)


def encode_json(value: Any) -> str:
    """Encode a value. Raises `TypeError` for what JSON cannot carry."""
    return _written(value, value)


def _written(value: Any, data: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson's text names neither the path nor the value
        check_json(data)
        raise


def encode_spliced(type: str, id: str, data: str) -> str:
    """Encode a message whose data is JSON text already."""
    return f'{{"label":"{LABEL}","type":"{type}","id":{encode_json(id)},"data":{data}}}'
