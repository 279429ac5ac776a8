"""Check the names of kinds and providers, and find the known name nearest to an unknown one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ("is_valid_name", "nearest")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def is_valid_name(value: object) -> bool:
    """Return whether a value can name a kind or a provider. It is used in grants, entry points and variable names."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


#: The longest part of a name that is compared, and the most names that it is compared with: one comparison takes 20 µs.
_MAX_COMPARED_LENGTH: Final = 64

_MAX_COMPARED_NAMES: Final = 40


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, or None. The time is bounded for any input."""
    from difflib import get_close_matches  # imported here because only mistakes need it

    name = name[:_MAX_COMPARED_LENGTH]
    # Names of very different lengths cannot be similar.
    likely = [each for each in known if 3 * len(each) >= len(name) and 3 * len(name) >= len(each)]
    if len(likely) > _MAX_COMPARED_NAMES:
        likely.sort(key=lambda each: (each[:1] != name[:1], abs(len(each) - len(name))))
    found = get_close_matches(name, likely[:_MAX_COMPARED_NAMES], n=1, cutoff=0.6)
    return found[0] if found else None
