"""Find async generators that were left to the garbage collector."""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ("unclosed_generators",)


@contextmanager
def unclosed_generators(folder: Path) -> Generator[list[str]]:
    """Yield the functions of a folder whose generators are begun in the block, and neither finished nor closed.

    It must be used where the event loop runs. A function is named with its file and line.
    """
    found: list[str] = []
    before = sys.get_asyncgen_hooks()

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        with warnings.catch_warnings():
            if (function := _function_of(generator, folder)) is not None:
                found.append(function)
                warnings.simplefilter("ignore", ResourceWarning)  # trio warns, and the check reports it
            if before.finalizer is not None:
                before.finalizer(generator)

    sys.set_asyncgen_hooks(firstiter=before.firstiter, finalizer=finalize)
    try:
        yield found
    finally:
        sys.set_asyncgen_hooks(*before)


def _function_of(generator: object, folder: Path) -> str | None:
    """Return the function that made a generator, if it stands in a folder."""
    code = getattr(generator, "ag_code", None)
    if not isinstance(code, CodeType) or not Path(code.co_filename).is_relative_to(folder):
        return None
    return f"{code.co_qualname}() ({code.co_filename}:{code.co_firstlineno})"
