"""The turn loop: what makes a session a conversation."""

from __future__ import annotations

from ._converse import converse
from ._taking import EndOfTurn, TurnTaking, UserTurn

__all__ = ("EndOfTurn", "TurnTaking", "UserTurn", "converse")
