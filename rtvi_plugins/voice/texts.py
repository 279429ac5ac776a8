"""Texts that a bot says of its own accord: fixed, or chosen each time by a function, such as in the user's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from ..errors import AuthorError, report
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import where

__all__ = ("TextSource", "is_text_source", "text_of")

#: A text, or a function that returns one. The function is called each time, and must not block.
TextSource: TypeAlias = str | Callable[[], str]


def is_text_source(value: object) -> bool:
    """Return whether a value is a text or may be a function that returns one."""
    return isinstance(value, str) or callable(value)


def text_of(source: TextSource) -> str:
    """Return the text to say now. If the function for it fails, that is logged, and the text is empty."""
    if isinstance(source, str):
        return source
    try:
        found = cast(object, source())
        if isinstance(found, str):
            return found
        raise AuthorError(f"{where(source)} returned {found!r}. Return a text.")
    except BaseException as error:
        reraise_control_flow(error)
        report(where(source), error)
        return ""
