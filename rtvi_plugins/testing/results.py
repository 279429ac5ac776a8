"""What a check has found: broken rules while it runs, then a result for each rule, and the level of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import asdict, define, field, frozen

from .rules import RULES, Level, Rule

__all__ = ("BrokenRule", "Findings", "Report", "Result", "State", "conclude")

#: What became of a rule.
State: TypeAlias = Literal["kept", "broken", "waived", "not checked", "not applicable"]

_LEVELS: Final = get_args(Level)
#: After a problem with one of these rules, others are not tried.
_ENDING: Final = frozenset({"P101", "P102", "P104", "P105", "P109", "P201", "P202", "P241", "P251"})
_GIVE_A_FAKE: Final = "the provider needs a key, and the check has no fake of its vendor"


@frozen
class BrokenRule:
    """One rule that a provider breaks. `what` says what was seen, and never contains a key."""

    rule: str
    provider: str
    what: str

    def __str__(self) -> str:
        rule = RULES[self.rule]
        return f"{self.rule} {self.provider}: {rule.what}\n  found: {self.what}\n  why: {rule.why}\n  fix: {rule.fix}"


@define
class Findings:
    """What was tried with one provider on one event loop, and the rules that it breaks: the first problem of each."""

    provider: str
    broken: dict[str, BrokenRule] = field(factory=dict[str, BrokenRule])
    rules_tried: set[str] = field(factory=set[str])
    #: Why a rule cannot be checked here.
    skipped: dict[str, str] = field(factory=dict[str, str])

    def tried(self, *rules: str) -> None:
        """Note that these rules are being checked. Those without a problem at the end are kept."""
        self.rules_tried.update(rules)

    def found(self, rule: str, what: str) -> None:
        """Add a problem, once for each rule."""
        self.tried(rule)
        self.broken.setdefault(rule, BrokenRule(rule, self.provider, what))


@frozen
class Result:
    """The result of one rule. `what` is what was found, the reason of a waiver, or why it was not checked."""

    rule: str
    state: State
    what: str = ""


@frozen
class Report:
    """The results of one provider, such as "llm.acme", in the order of `RULES`."""

    provider: str
    results: tuple[Result, ...]

    @property
    def level(self) -> Level | None:
        """Return the highest level of which all rules are kept, waived or not applicable; None below bronze."""
        open_levels = [RULES[each.rule].level for each in self.results if each.state in ("broken", "not checked")]
        reached = min((_LEVELS.index(each) for each in open_levels), default=len(_LEVELS))
        return _LEVELS[reached - 1] if reached else None

    def reaches(self, level: Level) -> bool:
        """Return whether the provider has this level, or a higher one."""
        return self.level is not None and _LEVELS.index(self.level) >= _LEVELS.index(level)

    def to_json(self) -> dict[str, Any]:
        """Return the report with the texts of its rules, as JSON values."""
        rules = [{**asdict(RULES[each.rule]), "result": each.state, "found": each.what} for each in self.results]
        return {"provider": self.provider, "level": self.level, "rules": rules}


def conclude(findings: Mapping[str, Findings], *, keys: bool, vendor: bool, waive: Mapping[str, str]) -> Report:
    """Return the report of one provider from what was found on each event loop, the first of them being asyncio.

    `keys` says that the provider has a key, and `vendor` that there was a fake of its vendor.
    """
    first = next(iter(findings.values()))
    problems = _merged(findings)
    tried = {rule for each in findings.values() for rule in each.rules_tried}
    skipped = {rule: why for each in findings.values() for rule, why in each.skipped.items()}

    def result(rule: Rule) -> Result:
        if rule.id in problems:
            waived = rule.waivable and rule.id in waive
            return Result(rule.id, "waived", waive[rule.id]) if waived else Result(rule.id, "broken", problems[rule.id])
        if rule.id in skipped:
            return Result(rule.id, "not checked", skipped[rule.id])
        if rule.id in tried:
            return Result(rule.id, "kept")
        if rule.on_request:
            return Result(rule.id, "not applicable")
        if rule.kinds and first.provider.partition(".")[0] not in rule.kinds:
            return Result(rule.id, "not applicable")
        if rule.of == "vendor" and not keys and not vendor:
            return Result(rule.id, "not applicable")
        if keys and not vendor and rule.of != "package":
            return Result(rule.id, "not checked", _GIVE_A_FAKE)
        if (ended := sorted(_ENDING.intersection(problems))) and rule.of != "package":
            return Result(rule.id, "not checked", f"the check ended early, because of {' and '.join(ended)}")
        return Result(rule.id, "not applicable")

    return Report(first.provider, tuple(map(result, RULES.values())))


def _merged(findings: Mapping[str, Findings]) -> dict[str, str]:
    """Return what is wrong, by the rule. What is wrong on trio alone breaks P211, unless its rule cannot be waived."""
    (_, first), *others = findings.items()
    problems = {rule: each.what for rule, each in first.broken.items()}
    for backend, each in others:
        for rule, problem in each.broken.items():
            if rule in problems:
                continue
            if RULES[rule].waivable:
                problems.setdefault("P211", f"{rule}, on {backend}: {problem.what}")
            else:
                problems[rule] = f"on {backend}: {problem.what}"
    return problems
