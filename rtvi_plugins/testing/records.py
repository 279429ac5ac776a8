"""Collect what is logged during a block, at all levels."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("Records",)


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
