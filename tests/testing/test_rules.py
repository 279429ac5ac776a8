"""The rules themselves: complete, and in order."""

from __future__ import annotations

import pytest

from rtvi_plugins.testing import RULES
from rtvi_plugins.testing.rules import LEVELS, level_of

from .mutants import MUTANTS

#: Rules of the distribution, which `rtvi check` tests have.
_OF_DISTRIBUTION = {"P101", "P102", "P103", "P106", "P211", "P220", "P301", "P302"}


def test_every_rule_says_what_why_and_how_to_mend() -> None:
    """Each in one sentence. The number shows the level."""
    for rule in RULES.values():
        assert rule.level == LEVELS[int(rule.id[1]) - 1]
        for text in (rule.what, rule.why, rule.mend):
            assert text.endswith(".")


def test_every_rule_of_a_provider_has_a_mutant() -> None:
    """And there are at least 30 mutants."""
    assert {each.rule for each in MUTANTS} == set(RULES) - _OF_DISTRIBUTION
    assert len(MUTANTS) >= 30


@pytest.mark.parametrize(
    ("broken", "level"),
    [([], "gold"), (["P303"], "silver"), (["P207"], "bronze"), (["P303", "P104"], None)],
)
def test_the_level_is_the_highest_without_a_broken_rule(broken: list[str], level: str | None) -> None:
    """A broken rule of a lower level counts for all above."""
    assert level_of(broken) == level
