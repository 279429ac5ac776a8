"""The shapes of `str`, `bool`, `int`, `float`, `None` and `Any`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import Problem
from ..utils.diagnostics import shorten
from ..utils.json_values import expected, is_array, is_object, member_path, until_max_problems
from .shapes import INVALID, LoadedTypes, Loader, Shape

__all__ = ("ANY", "NULL", "PRIMITIVES", "as_int", "bad_names")


def _exactly(cls: type, word: str) -> Loader:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if value.__class__ is cls:
            return value
        problems.append(Problem(path, expected(word, value)))
        return INVALID

    return load


def _load_int(value: Any, path: str, problems: list[Problem]) -> Any:
    whole = as_int(value)
    if whole.__class__ is int:
        return whole
    is_large = value.__class__ is float and value.is_integer()
    word = "a whole number of 64 bits, written without fraction and exponent" if is_large else "a whole number"
    problems.append(Problem(path, expected(word, value)))
    return INVALID


def as_int(value: Any) -> Any:
    """Return the int for a float such as 2.0, which is an integer in JSON Schema; return any other value as it is.

    A float from 2**53 on stands for several whole numbers, so it is not converted.
    """
    return int(value) if value.__class__ is float and value.is_integer() and abs(value) < 2**53 else value


def _load_float(value: Any, path: str, problems: list[Problem]) -> Any:
    if value.__class__ is int or (value.__class__ is float and math.isfinite(value)):
        with suppress(OverflowError):  # an author's default may be an int that no float holds
            return float(value)
    problems.append(Problem(path, expected("a number", value)))
    return INVALID


def _load_none(value: Any, path: str, problems: list[Problem]) -> Any:
    if value is not None:
        problems.append(Problem(path, expected("null", value)))
        return INVALID
    return None


def _load_any(value: Any, path: str, problems: list[Problem]) -> Any:
    if is_array(value):
        for index, item in until_max_problems(enumerate(value), problems):
            _load_any(item, f"{path}[{index}]", problems)
    elif is_object(value):
        if bad := bad_names(value):
            problems.append(Problem(path, bad))
        else:
            for key, item in until_max_problems(value.items(), problems):
                _load_any(item, member_path(path, key), problems)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        problems.append(Problem(path, expected("a JSON value", value)))
    return value


def bad_names(value: Mapping[Any, Any]) -> str | None:
    """Return the problem of an object that has keys other than strings. One that was decoded from JSON has none."""
    for key in value:
        if not isinstance(key, str):
            return f"expected names that are strings, got {shorten(repr(key))}"
    return None


ANY = Shape("object", {}, _load_any, expects="a JSON value")
NULL = Shape("null", {"type": "null"}, _load_none, type(None), "null", LoadedTypes((type(None),)))

PRIMITIVES: Mapping[Any, Shape] = {
    str: Shape("string", {"type": "string"}, _exactly(str, "a string"), str, "a string", LoadedTypes((str,))),
    bool: Shape(
        "bool", {"type": "boolean"}, _exactly(bool, "true or false"), bool, "true or false", LoadedTypes((bool,))
    ),
    int: Shape("number", {"type": "integer"}, _load_int, int, "a whole number", LoadedTypes((int,))),
    float: Shape("number", {"type": "number"}, _load_float, None, "a number", LoadedTypes((float,))),
}
