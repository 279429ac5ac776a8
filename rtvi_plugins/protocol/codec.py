"""JSON text to messages and back. A text that is no message is refused here, and nowhere else."""

from __future__ import annotations

from typing import Any, cast

import orjson

from ..errors import InvalidMessage, MessageTooDeep, MessageTooLarge
from ..utils.json_values import check_json, describe_json

__all__ = ("LABEL", "decode", "encode", "encode_json", "encode_spliced")

#: Every RTVI message carries it; clients drop what does not.
LABEL = "rtvi-ai"


def decode(text: str, *, size: int, depth: int) -> dict[str, Any]:
    """The object that a text holds. `size` bounds its length in characters, `depth` its nesting."""
    if len(text) > size:
        raise MessageTooLarge(f"The message is {len(text)} characters long; at most {size} are accepted.")
    # Only a text with more brackets than that can nest so deep.
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
            f"A message is a JSON object with label, type, id and data; this is {describe_json(message)}."
        )
    return cast("dict[str, Any]", message)


def _depth(text: str) -> int:
    """How deep brackets nest outside of strings."""
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
    """The text of a message. Without an id or data the key is left out. `TypeError` for what JSON cannot carry."""
    message: dict[str, Any] = {"label": LABEL, "type": type}
    if id is not None:
        message["id"] = id
    if data is not None:
        message["data"] = data
    return _written(message, data)


def encode_json(value: Any) -> str:
    """The JSON text of a value. `TypeError` for what JSON cannot carry."""
    return _written(value, value)


def _written(value: Any, data: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # its text names neither the path nor the value
        check_json(data)
        raise


def encode_spliced(type: str, id: str, data: str) -> str:
    """The text of a message whose data was encoded before."""
    return f'{{"label":"{LABEL}","type":"{type}","id":{encode_json(id)},"data":{data}}}'
