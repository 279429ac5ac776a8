"""Check a package again with the oldest core that it claims, in an environment of its own.

pip installs both. Its settings apply, such as `PIP_INDEX_URL` and `PIP_FIND_LINKS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from attrs import evolve

from ..utils.json_values import is_object
from .package_check import PackageReport, oldest_core
from .results import Report, Result, State

__all__ = ("with_oldest",)

_RULE: Final = "P215"

#: How long pip, or the check, may take, in seconds.
_PATIENCE: Final = 900.0

#: What some rules need, if the present environment has it.
_TOOLS: Final = ("jsonschema", "trio")


def with_oldest(
    report: PackageReport, *, checks: Path | None, provider: str | None, find_links: Sequence[str] = ()
) -> PackageReport:
    """Return a report with the rule P215, which checks the package with the oldest core that it claims.

    `find_links` are folders of wheels for pip. `checks` and `provider` are those of the report.
    """
    found = distribution(report.distribution)
    oldest = oldest_core(found.requires or [])
    if oldest is None:
        results = _same(report, Result(_RULE, "not checked", "the package does not say which core it needs at least"))
        return _with(report, results)
    with TemporaryDirectory(prefix="rtvi-check-") as folder:
        try:
            python = _install(Path(folder), [f"rtvi-plugins=={oldest}", _source(report)], find_links)
        except _Failed as failed:
            state: State = "broken" if failed.conflict else "not checked"
            return _with(report, _same(report, Result(_RULE, state, f"rtvi-plugins {oldest}: {failed}")))
        words = [report.distribution, *(["--provider", provider] if provider else [])]
        words += ["--checks", str(checks.absolute())] if checks else []
        there = _check(python, words)
    return _with(report, _compared(report, there, oldest))


class _Failed(Exception):
    """pip has failed. With a `conflict`, the package and this core cannot be installed together."""

    def __init__(self, reason: str, *, conflict: bool) -> None:
        super().__init__(reason)
        self.conflict = conflict


def _install(folder: Path, what: Sequence[str], find_links: Sequence[str]) -> Path:
    """Make an environment with these requirements, and return its Python."""
    _run([sys.executable, "-m", "venv", str(folder)])
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    links = [word for each in find_links for word in ("--find-links", each)]
    tools = [each for each in _TOOLS if find_spec(each) is not None]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    done = _run([*pip, *links, *what, *tools])
    if done.returncode:
        # The first line with an error names the requirement.
        errors = [each.removeprefix("ERROR: ") for each in done.stderr.splitlines() if each.startswith("ERROR: ")]
        raise _Failed(errors[0] if errors else "pip fails", conflict="conflicting dependencies" in done.stderr)
    return python


def _source(report: PackageReport) -> str:
    """Return what pip installs: the folder from which the package is installed here, or its version."""
    text = distribution(report.distribution).read_text("direct_url.json")
    url = urlsplit(json.loads(text)["url"] if text else "")
    if url.scheme == "file":
        return url2pathname(url.path)
    return f"{report.distribution}=={report.version}"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH may lead to the present core.
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=_PATIENCE, check=False)


# ---- what the older core finds ---------------------------------------------------------------------------------------


def _check(python: Path, words: Sequence[str]) -> Mapping[str, Any] | str:
    """Run the check of the older core. Return its report, or why there is none."""
    done = _run([str(python), "-P", "-m", "rtvi_plugins", "check", *words, "--json"])  # -P: not from the present folder
    try:
        found: object = json.loads(done.stdout)
    except ValueError:
        return (done.stderr.strip().splitlines() or ["it prints nothing"])[-1]
    return found if is_object(found) else "its report is not an object"


def _compared(report: PackageReport, there: Mapping[str, Any] | str, oldest: str) -> Mapping[str, Result]:
    """Return the result of each provider: what it breaks only with the older core."""
    if isinstance(there, str):
        return _same(report, Result(_RULE, "broken", f"with rtvi-plugins {oldest}, the check fails: {there}"))
    version = there.get("core", oldest)
    rules = {each["provider"]: each["rules"] for each in there["providers"]}
    results: dict[str, Result] = {}
    for each in report.reports:
        here = {result.rule for result in each.results if result.state == "broken"}
        broken = [
            f"{rule['id']}: {rule['found']}"
            for rule in rules[each.provider]
            if rule["result"] == "broken" and rule["id"] not in here
        ]
        what = f"with rtvi-plugins {version}, {'; '.join(broken)}. Write rtvi-plugins>={report.core}"
        results[each.provider] = Result(_RULE, "broken", what) if broken else Result(_RULE, "kept")
    return results


def _same(report: PackageReport, result: Result) -> Mapping[str, Result]:
    return {each.provider: result for each in report.reports}


def _with(report: PackageReport, found: Mapping[str, Result]) -> PackageReport:
    def replaced(each: Report) -> Report:
        results = [found[each.provider] if result.rule == _RULE else result for result in each.results]
        return evolve(each, results=tuple(results))

    return evolve(report, reports=tuple(map(replaced, report.reports)))
