"""The made-up key of the conformance kit, and whether a text shows it."""

from __future__ import annotations

import traceback
from typing import Final

from ..utils.redaction import SecretForms, redact

__all__ = ("KEY", "error_shows_key", "shows_key")

#: It has characters that URLs, headers and JSON write in different ways.
KEY: Final = "key+of/the=conformance~kit"

_FORMS: Final = SecretForms(KEY)


def shows_key(text: str) -> bool:
    """Return whether a text has the key: plain, percent-encoded, in base64 or hexadecimal, escaped, or in part."""
    # What `redact` covers of a URL is there without the key too.
    return redact(text, [_FORMS]) != redact(text, [])


def error_shows_key(error: BaseException) -> bool:
    """Return whether an exception shows the key: its text, its attributes, or its traceback with all its causes."""
    shown = ["".join(traceback.format_exception(error)), repr(error), repr(getattr(error, "__dict__", ""))]
    return any(map(shows_key, shown))
