"""Problems of the operator's part of a start request, which never show a value.

Any value may be a key or a URL, and a proxy forwards the error to the client. So these problems name a path, a type and
what is expected there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..declare.shapes import Shape
from ..errors import Problem, unknown
from ..utils.diagnostics import shorten
from ..utils.json_values import is_array, is_object, json_type_name
from ..utils.redaction import SecretForms, redact
from .codec import encode_json

__all__ = ("has_user", "hiding", "is_name", "misfits", "safe_path", "unknown_name")

#: Names of services, providers and options look like this. Any other text in the place of a name may be a key or a URL.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z0-9_]+)?(\[\d+\])*")
_LONGEST_NAME = 32

#: One part of a JSON path: a plain name or a quoted one. An index shows nothing.
_PART = re.compile(r'\.([^.\[]+)|\["((?:[^"\\]|\\.)*)"\]')

#: A URL with a user name or a password. HTTP libraries log it; only a `Secret` is kept out of logs and errors.
_WITH_USER = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}[^/?#\\]*@")

#: Shorter strings are no secrets, and occur in many words.
_SHORTEST_HIDDEN = 4


def is_name(text: str) -> bool:
    """Return whether every part of a dotted name is a plain word, so that it may be shown."""
    return all(_NAME.fullmatch(part) and len(part) <= _LONGEST_NAME for part in re.split(r"[.:]", text))


def safe_path(path: str) -> str:
    """Return a JSON path without the parts that are not plain names."""

    def safe(part: re.Match[str]) -> str:
        if is_name(part[1] or part[2] or ""):
            return part[0]
        return ".…" if part[1] else '["…"]'

    return _PART.sub(safe, path)


def unknown_name(what: str, name: str, known: Iterable[str], path: str) -> Problem:
    """Return the problem of an unknown name. The name is shown if it is a plain word."""
    if is_name(name):
        return unknown(what, name, known, path=path)
    return Problem(safe_path(path), f"unknown {what}; known: {', '.join(islice(known, 20))}.")


def misfits(found: Sequence[Problem], shape: Shape, value: Any, path: str) -> list[Problem]:
    """Return the problems of a value, in terms of what its option accepts."""
    described = str(shape.schema.get("description", ""))
    whole = f"expected {shape.expects}, got {json_type_name(value)}. {described}".rstrip()
    inner = f"does not fit the schema of the option: {shorten(encode_json(shape.schema), 300)}"
    return [Problem(at, whole if at == path else inner) for at in dict.fromkeys(safe_path(each.path) for each in found)]


def has_user(value: Any) -> bool:
    """Return whether a value is a URL that contains a user name or a password."""
    return isinstance(value, str) and _WITH_USER.match(value) is not None


def hiding(*values: Any) -> Callable[[str], str]:
    """Return a function that removes all strings in these values from a text."""
    words = dict.fromkeys(word for value in values for word in _strings(value))
    hidden = [each for each in words if len(each) >= _SHORTEST_HIDDEN]
    return lambda text: redact(text, [SecretForms(each) for each in hidden]) if hidden else text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_object(value) or is_array(value):
        for each in value.values() if is_object(value) else value:
            yield from _strings(each)
