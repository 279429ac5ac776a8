"""The spoken turn: `converse` and its parts, from the user's audio to the bot's speech.

In: a session, its services and `TurnTaking`. Out: turns with text, audio and function calls, and a longer context.
May import: the modules that a plugin may import, and `utils`. A bot can use a loop of its own instead.
"""

from __future__ import annotations

from .converse import converse
from .filler import Filler
from .markdown import Part, without_markup
from .text_filter import Spoken, TextFilter
from .turn_taking import EndOfTurn, TextSource, TurnTaking, UnfinishedSentence, UserTurn

__all__ = (
    "EndOfTurn",
    "Filler",
    "Part",
    "Spoken",
    "TextFilter",
    "TextSource",
    "TurnTaking",
    "UnfinishedSentence",
    "UserTurn",
    "converse",
    "without_markup",
)
