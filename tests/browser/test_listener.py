"""The listener that judges answers in these tests rejects other sentences."""

from __future__ import annotations

import pytest

from .bot import ANSWERS, STORY
from .speech import Listener, synthesised

pytestmark = pytest.mark.timeout(280)


def test_other_sentences_are_not_taken_for_answers() -> None:
    """A listener that recognises the answers rejects other sentences of the same voice."""
    listener, others = Listener(ANSWERS.values()), [*STORY, *ANSWERS]
    assert {text: listener.hear(*synthesised(text)) for text in others} == dict.fromkeys(others)
