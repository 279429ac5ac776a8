"""Read what a vendor sent: a field that is not of its type counts as absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import orjson

__all__ = ("array", "is_object", "number", "object_of", "parse", "text", "whole_characters")


def parse(data: str | bytes) -> Any:
    """The JSON value, or None where it is not JSON.

    NaN and halves of a character pass: some servers send the one among probabilities, and the other at the edge of a
    chunk.
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
    """The text with its halves of characters joined; a half that stands alone is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not _is_whole(text) else text


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
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
