"""The made-up key of the conformance kit, what is logged during a block, and whether a text shows the key."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any, Final, TextIO

from ..utils.secrets import SecretForms, redact

__all__ = ("KEY", "Records", "error_shows_key", "object_shows_key", "shows_key")


class Records(logging.Handler):
    """The records of all loggers, as text. Those of the framework are apart, because it removes keys from them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.framework: list[str] = []
        self.others: list[str] = []
        #: What is printed, also on stderr. It is passed on.
        self.printed = StringIO()

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
        out, error = _Copied(sys.stdout, self.printed), _Copied(sys.stderr, self.printed)
        try:
            with redirect_stdout(out), redirect_stderr(error):
                yield
        finally:
            root.setLevel(level)
            root.removeHandler(self)


class _Copied(StringIO):
    """A text stream that writes to two others."""

    def __init__(self, to: TextIO, copy: TextIO) -> None:
        super().__init__()
        self._to, self._copy = to, copy

    def write(self, text: str, /) -> int:
        self._copy.write(text)
        return self._to.write(text)

    def flush(self) -> None:
        self._to.flush()


#: It has characters that URLs, headers and JSON write in different ways.
KEY: Final = "key+of/the=conformance~kit"

_FORMS: Final = SecretForms(KEY)


def shows_key(text: str) -> bool:
    """Return whether a text has the key: plain, percent-encoded, in base64 or hexadecimal, escaped, or in part."""
    # What `redact` covers of a URL is there without the key too.
    return redact(text, [_FORMS]) != redact(text, [])


def object_shows_key(live: object) -> bool:
    """Return whether an object shows the key: its text, or an attribute, also one in a slot.

    A field of an attrs class with `repr=False` counts as hidden.
    """
    hidden = {each.name for each in getattr(type(live), "__attrs_attrs__", ()) if not each.repr}
    names = {*getattr(live, "__dict__", ()), *_slots(type(live))} - hidden
    return shows_key(f"{live!r} {live!s} {[getattr(live, each, None) for each in names]}")


def _slots(cls: type[Any]) -> list[str]:
    found = (vars(each).get("__slots__", ()) for each in cls.__mro__)
    return [name for each in found for name in ((each,) if isinstance(each, str) else each)]


def error_shows_key(error: BaseException) -> bool:
    """Return whether an exception shows the key: its text, its attributes, or its traceback with all its causes."""
    shown = ["".join(traceback.format_exception(error)), repr(error), repr(getattr(error, "__dict__", ""))]
    return any(map(shows_key, shown))
