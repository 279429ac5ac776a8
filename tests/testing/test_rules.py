"""The rules are complete and in order."""

from __future__ import annotations

import re

from rtvi_plugins.testing import RULES

from .mutants import MUTANTS


def test_every_rule_says_what_why_and_how_to_mend() -> None:
    """Each text is one sentence. The number shows the level."""
    for rule in RULES.values():
        assert re.fullmatch(r"P[123]\d\d", rule.id)
        for text in (rule.what, rule.why, rule.fix):
            assert text.endswith(".")


def test_every_rule_of_a_provider_has_a_mutant() -> None:
    """P106 has none, because the framework refuses what it cannot describe. P211 needs two event loops."""
    rules = {each.id for each in RULES.values() if each.of != "package"}
    assert {each.rule for each in MUTANTS} == rules - {"P106", "P211"}
    assert len(MUTANTS) >= 30
