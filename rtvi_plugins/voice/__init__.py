"""The turn loop: what makes a session a conversation."""

from __future__ import annotations

from ._converse import converse

__all__ = ("converse",)
