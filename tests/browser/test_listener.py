"""The listener that the tests of this folder judge answers by: what it rejects."""

from __future__ import annotations

import pytest

from .bot import ANSWERS, STORY
from .speech import Listener, synthesised

pytestmark = pytest.mark.timeout(280)


def test_other_sentences_are_not_taken_for_answers() -> None:
    """What recognises the answers rejects the same voice when it says anything else."""
    listener, others = Listener(ANSWERS.values()), [*STORY, *ANSWERS]
    assert {text: listener.hear(*synthesised(text)) for text in others} == dict.fromkeys(others)
