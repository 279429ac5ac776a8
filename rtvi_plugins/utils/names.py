"""Check the names of kinds and providers."""

from __future__ import annotations

import re

__all__ = ("is_valid_name",)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def is_valid_name(value: object) -> bool:
    """Return whether a value can name a kind or a provider. It is used in grants, entry points and variable names."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
