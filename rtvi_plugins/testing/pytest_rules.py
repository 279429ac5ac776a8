"""Make tests of the rules for providers: one for each rule. pytest is imported when they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from .conformance import ProviderCheck
from .packages import check_package, load_checks, providers_of
from .results import Problem, Report
from .rules import RULES, Level

__all__ = ("rule_tests",)


def rule_tests(package: str, checks: Path | None = None, *, level: Level = "gold") -> Callable[[str, str], None]:
    """Return a test function with a case for each provider of an installed distribution, and each rule of a level.

    `checks` is a file such as tests/conformance.py, which `rtvi check` reads too; `load_checks` says what it has. A
    provider is checked once, at its first case.
    """
    import pytest

    kinds = {each.name: each.kind for each in providers_of(package)}
    rules = [each for each in RULES.values() if get_args(Level).index(each.level) <= get_args(Level).index(level)]
    cases = [
        pytest.param(provider, rule.id, id=f"{provider}-{rule.id}")
        for provider, kind in kinds.items()
        for rule in rules
        if not rule.kinds or kind in rule.kinds
    ]

    @cache
    def how() -> Mapping[str, ProviderCheck]:
        return load_checks(checks) if checks is not None else {}

    @cache
    def report(provider: str) -> Report:
        return check_package(package, how(), provider=provider).reports[0]

    @pytest.mark.parametrize(("provider", "rule"), cases)
    def test_rule(provider: str, rule: str) -> None:
        """A provider keeps a rule, or its exception is explained."""
        [result] = [each for each in report(provider).results if each.rule == rule]
        assert result.state not in ("broken", "not checked"), str(Problem(rule, provider, result.what))

    return test_rule
