"""`rtvi check`: check the providers of an installed package against the rules, without a key and without a network."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from ..testing import RULES, Level, PackageReport, Report, Result, check_package, load_checks
from ..testing.oldest_core import with_oldest
from ..utils.secrets import scrub
from .description_text import table_lines
from .failures import FAILED, OK

__all__ = ("run",)

#: Where the checks are, if the command line names no file.
_CHECKS: Final = Path("tests", "conformance.py")


def run(chosen: Namespace) -> int:
    """Print the report. The exit code says whether all providers reach the level."""
    file = Path(chosen.checks) if chosen.checks else _CHECKS if _CHECKS.is_file() else None
    with redirect_stdout(sys.stderr):  # what a provider prints is not our output
        report = check_package(chosen.package, load_checks(file) if file else {}, provider=chosen.provider)
        if chosen.oldest:
            links: list[str] = chosen.find_links
            report = with_oldest(report, checks=file, provider=chosen.provider, find_links=links)
    text = f"{json.dumps(report.to_json(), indent=2)}\n" if chosen.json else _text(report, chosen.level, chosen.verbose)
    sys.stdout.write(scrub(text))
    return OK if all(each.reaches(chosen.level) for each in report.reports) else FAILED


def _text(report: PackageReport, level: Level, verbose: bool) -> str:
    lines = [f"{report.distribution} {report.version}, checked with rtvi_plugins {report.core}"]
    for each in report.reports:
        lines += ["", f"{each.provider}: {each.level or 'below bronze'}", *_rules(each, verbose)]
    reaching = sum(each.reaches(level) for each in report.reports)
    lines += ["", f"{reaching} of {len(report.reports)} providers have the level {level} or a higher one."]
    return "\n".join([*lines, ""])


def _rules(report: Report, verbose: bool) -> Iterator[str]:
    """Yield the lines of the rules. Those that are kept are only counted, if the report is not verbose."""
    kept = sum(each.state == "kept" for each in report.results)
    if kept and not verbose:
        yield f"  {kept} {'rule' if kept == 1 else 'rules'} kept"
    hidden = ("not applicable",) if verbose else ("not applicable", "kept")
    skipped = {} if verbose else _skipped_alike(report)
    shown = [each for each in report.results if each.state not in hidden and each.rule not in skipped]
    rows = [(each.rule, RULES[each.rule].level, each.state, RULES[each.rule].what) for each in shown]
    for line, each in zip(table_lines(rows), shown, strict=True):
        yield f"  {line}"
        yield from _details(each)
    for reason in dict.fromkeys(skipped.values()):
        yield f"  {sum(each == reason for each in skipped.values())} rules not checked: {reason}"


def _skipped_alike(report: Report) -> dict[str, str]:
    """Return the rules that were not checked for a reason that several of them share, each with this reason."""
    reasons = {each.rule: each.what for each in report.results if each.state == "not checked"}
    often = {reason for reason, count in Counter(reasons.values()).items() if count > 1}
    return {rule: reason for rule, reason in reasons.items() if reason in often}


def _details(result: Result) -> Iterator[str]:
    rule = RULES[result.rule]
    match result.state:
        case "broken":
            facts = {"found": result.what, "why": rule.why, "fix": rule.fix}
        case "waived":
            facts = {"reason": result.what}
        case "not checked":
            facts = {"because": result.what}
        case _:
            facts = {}
    yield from (f"        {name}: {text}" for name, text in facts.items())
