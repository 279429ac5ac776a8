"""Read a vendor's JSON. A field of the wrong type counts as absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import orjson

__all__ = ("array", "is_object", "number", "object_of", "parse", "text", "whole_characters")


def parse(data: str | bytes) -> Any:
    """Return the JSON value, or None for invalid JSON.

    NaN and halves of a character are accepted: some servers send NaN as a probability, and split characters between
    chunks.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def whole_characters(text: str) -> str:
    """Join halves of characters, and replace a half without its other half."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not _is_whole(text) else text


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether it is a JSON object."""
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def object_of(value: object) -> Mapping[str, Any]:
    return value if is_object(value) else {}


def array(value: object) -> Sequence[Any]:
    return value if _is_array(value) else ()


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    return value if isinstance(value, int) else 0
