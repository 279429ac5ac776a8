"""What names of kinds and providers look like."""

from __future__ import annotations

import re

__all__ = ("is_valid_name",)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def is_valid_name(value: object) -> bool:
    """Whether a value can name a kind or a provider: in grants, entry points and environment variables alike."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
