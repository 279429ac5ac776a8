"""Run one check with many files or names, and report all failures together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ("check_each",)

T = TypeVar("T")


def check_each(items: Iterable[T], check: Callable[[T], object]) -> None:
    """Call a check with every item, and raise the failures of all of them, each with its item as a note."""
    failures: list[Exception] = []
    checked = 0
    for item in items:
        checked += 1
        try:
            check(item)
        except Exception as error:
            error.add_note(str(item))
            failures.append(error)
    assert checked, "there was nothing to check"
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {checked} failed", failures)
