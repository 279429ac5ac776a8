"""Keep secrets out of standard error, for example from `print`, `traceback.print_exc` or a library's log handler."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TextIO, cast

from .secrets import scrub

__all__ = ("redacted_stderr",)


class _Redacted:
    """A text stream that removes secrets from each text that is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(scrub(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def redacted_stderr() -> Generator[None]:
    """Remove secrets from all text that Python code writes to `sys.stderr`."""
    stream = sys.stderr
    sys.stderr = cast(TextIO, _Redacted(stream))
    try:
        yield
    finally:
        sys.stderr = stream
