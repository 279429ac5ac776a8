"""The turn loop: what makes a session a conversation."""

from __future__ import annotations

from ._converse import converse
from ._markup import without_markup
from ._spoken import Part, Spoken
from ._taking import EndOfTurn, TurnTaking, UserTurn

__all__ = ("EndOfTurn", "Part", "Spoken", "TurnTaking", "UserTurn", "converse", "without_markup")
