"""Which of two topics the user means: the question, and the answer to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import evolve

from .conversation import Conversation, Turn
from .knowledge import Knowledge

__all__ = ("ask_back", "with_choices")

_ABOUT = "I am not sure what you mean. Is it about"
#: Answers that choose the first and the second of two.
_CHOICES = tuple(
    re.compile(rf"\W*(?:yes\W+)?(?:{words})(?:\W+(?:one|please))*\W*", re.IGNORECASE)
    for words in ("yes|yeah|yep|sure|exactly|the (?:first|former)", "the (?:second|latter|last|other)")
)


def ask_back(conversation: Conversation, knowledge: Knowledge) -> str | None:
    """Return the question which of two topics the user means; None if no topic is near.

    It is not asked twice in a row: if it did not help, the fallbacks say more.
    """
    before = conversation.turns[-2][1] if len(conversation.turns) > 1 else ""
    titles = knowledge.nearest(conversation.text)
    if not titles or before.startswith(_ABOUT):
        return None
    return f"{_ABOUT} {' or '.join([*titles, 'something else'][:2])}?"


def with_choices(conversation: Conversation, knowledge: Knowledge) -> Conversation:
    """Return a conversation in which "the second" is the topic that it chooses, as if the user had said its title."""
    turns = _chosen(conversation.turns, knowledge)
    return evolve(conversation, turns=turns, recent=turns[len(turns) - len(conversation.recent) :])


def _chosen(turns: Sequence[Turn], knowledge: Knowledge) -> tuple[Turn, ...]:
    before = ["", *(text if role == "assistant" else "" for role, text in turns)]
    return tuple(
        (role, _choice(text, asked, knowledge) if role == "user" and asked.startswith(_ABOUT) else text)
        for (role, text), asked in zip(turns, before, strict=False)
    )


def _choice(text: str, asked: str, knowledge: Knowledge) -> str:
    """Return the title that a text chooses, or the text."""
    titles = knowledge.titled(asked)
    return next((title for title, words in zip(titles, _CHOICES, strict=False) if words.fullmatch(text)), text)
