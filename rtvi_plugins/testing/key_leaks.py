"""The made-up key of the conformance kit, what is logged during a block, and whether a text shows the key."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from ..utils.secrets import SecretForms, redact

__all__ = ("KEY", "Records", "error_shows_key", "shows_key")


class Records(logging.Handler):
    """The records of all loggers, as text. Those of the framework are apart, because it removes keys from them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.framework: list[str] = []
        self.others: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record, with its traceback."""
        text = logging.Formatter().format(record)
        (self.framework if record.name == "rtvi_plugins" else self.others).append(text)

    @contextmanager
    def collecting(self) -> Generator[None]:
        """Collect in the block."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(self)


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
