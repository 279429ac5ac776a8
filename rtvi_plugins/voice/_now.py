"""The time of day, as events carry it."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ("timestamp",)


def timestamp() -> str:
    """Now, in ISO 8601 with milliseconds, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
