"""Check a whole package: its metadata, its import, and each of its providers on asyncio and trio.

`rule_tests` makes a test of each rule. pytest is imported when they are made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias, get_args

import anyio
from attrs import frozen

from ..declare.specs import ProviderSpec
from ..errors import AuthorError
from ..loading import load_provider
from ..protocol.operator_fields import key_variable
from ..registry.distribution_metadata import BRIDGES, distributions
from ..registry.installed_plugins import API, EntryPoint, Installed, missing_module
from ..registry.modules import family_of, lack, load_file, services_in
from ..registry.registry import Provider
from ..utils.json_values import is_object
from ..utils.names import nearest
from .conformance import ProviderCheck, run_check
from .import_probe import Imported, import_apart
from .results import BrokenRule, Findings, Report, conclude
from .rules import RULES, Level

__all__ = ("PackageReport", "check_package", "load_checks", "oldest_core", "providers_of", "rule_tests")

#: How long the import may take, as a multiple of the time that the import of the core takes.
_LONGEST_IMPORT: Final = 2.0

_CORE: Final = "rtvi-plugins"

#: The metadata of a distribution, by field.
Metadata: TypeAlias = Mapping[str, Any]


@frozen
class PackageReport:
    """The reports of the providers of a distribution."""

    distribution: str
    version: str
    core: str
    reports: tuple[Report, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        providers = [each.to_json() for each in self.reports]
        return {"package": self.distribution, "version": self.version, "core": self.core, "providers": providers}


def load_checks(file: Path) -> Mapping[str, ProviderCheck]:
    """Return the constant `PROVIDERS` of a Python file: how each provider, such as "llm.acme", is checked.

    Raise `AuthorError` if there is no such file or constant.
    """
    found = vars(load_file(file)).get("PROVIDERS")
    if not is_object(found) or not all(isinstance(each, ProviderCheck) for each in found.values()):
        raise AuthorError(f'{file}: write PROVIDERS = {{"llm.acme": ProviderCheck(vendor=…)}}.')
    return found


def providers_of(package: str, *, provider: str | None = None) -> list[EntryPoint]:
    """Return the entry points of the providers of an installed distribution, or the one named as in "llm.acme".

    For a bridge, the name of a provider means all its kinds, as in "livekit-deepgram". Raise `AuthorError` if there is
    none.
    """
    name = re.sub(r"[-_.]+", "-", package).lower()
    installed = Installed().entries
    offered = [each for each in installed if each.distribution == name and each.kind is not None]
    offered = offered or [each for each in installed if each.bridged is not None and each.provider == package]
    if not offered and any(each == name and BRIDGES in groups for each, _, groups in distributions(None)):
        raise AuthorError(f"{name} is a bridge, and it finds nothing to bridge. Its readme says what to install.")
    if not offered:
        near = nearest(name, {each.distribution for each in installed if each.kind is not None})
        hint = f"Did you mean {near!r}?" if near else "In its folder: pip install --editable ."
        raise AuthorError(f"No package {package!r} with providers is installed. {hint}")
    found = [each for each in offered if provider in (None, each.name)]
    if not found:
        names = ", ".join(each.name for each in offered)
        raise AuthorError(f"{package} has no provider {provider!r}. It has {names}.")
    return found


def check_package(
    package: str, checks: Mapping[str, ProviderCheck] | None = None, *, provider: str | None = None
) -> PackageReport:
    """Check the providers of an installed distribution, or one of them such as "llm.acme", against all `RULES`.

    It runs event loops of its own, on asyncio and on trio. `checks` says how, by provider. Raise `AuthorError` if there
    is no such distribution or provider.
    """
    return _check(package, checks or {}, provider, cache(import_apart))


def _check(
    package: str, checks: Mapping[str, ProviderCheck], provider: str | None, probed: Callable[[EntryPoint], Imported]
) -> PackageReport:
    entries = providers_of(package, provider=provider)
    siblings = providers_of(entries[0].distribution)
    names = [each.name for each in siblings]
    if unknown := sorted(set(checks) - set(names)):
        raise AuthorError(f"PROVIDERS has {unknown[0]!r}, and {package} has {', '.join(names)}.")
    found = distribution(entries[0].distribution)
    metadata: Metadata = found.metadata.json
    installed = Installed()
    first_of = {each.module: each for each in reversed(siblings)}
    reports: list[Report] = []
    for entry in entries:
        check = checks.get(entry.name, ProviderCheck())
        findings = Findings(entry.name)
        _check_metadata(findings, metadata, found.requires or [])
        if entry.unfit is not None:
            findings.found("P101" if API in entry.api else "P102", entry.unfit)
        else:
            _check_import(findings, probed(first_of.get(entry.module, entry)), entry)
            if not findings.broken.keys() & {"P101", "P109"}:
                _check_module(findings, entry, installed)
        reports.append(_finish(findings, entry, installed, check, metadata))
    return PackageReport(entries[0].distribution, found.version, distribution(_CORE).version, tuple(reports))


def _finish(
    findings: Findings, entry: EntryPoint, installed: Installed, check: ProviderCheck, metadata: Metadata
) -> Report:
    """Check the provider itself, if it can be imported."""
    if findings.broken.keys() & {"P101", "P102", "P109"}:
        return conclude({"asyncio": findings}, keys=False, vendor=check.vendor is not None, waive=check.waive)
    provider = load_provider(entry, installed)
    spec = provider.spec
    if entry.bridged is None:  # the options of others have their own documentation
        _check_readme(findings, provider, metadata)
    module = installed.load(entry)
    by_loop = {"asyncio": anyio.run(partial(run_check, module, spec, check, findings))}
    if spec.asyncio_only:
        pass
    elif find_spec("trio") is None:
        findings.skipped["P211"] = "it needs trio: pip install trio"
    else:
        findings.tried("P211")
        by_loop["trio"] = anyio.run(partial(run_check, module, spec, check), backend="trio")
    return conclude(by_loop, keys=bool(spec.secrets), vendor=check.vendor is not None, waive=check.waive)


# ---- the package itself --------------------------------------------------------------------------------------------


def _check_import(findings: Findings, imported: Imported, entry: EntryPoint) -> None:
    slow = entry.bridged is not None and entry.bridged.slow  # a server imports it after the start
    findings.tried("P101", "P102", "P103", "P109", *([] if slow else ["P214"]))
    if imported.broken is not None:
        missing = missing_module(imported.broken)
        is_own = missing is not None and f"{entry.module}.".startswith(f"{missing}.")
        findings.found("P101" if is_own else "P109", imported.broken)
    if imported.reached:
        findings.found("P103", f"it tries to reach {imported.reached[0]}")
    if not slow and imported.seconds > _LONGEST_IMPORT * imported.core_seconds:
        ratio = imported.seconds / imported.core_seconds
        what = f"it takes {ratio:.1f} times as long as that of the core, which takes {imported.core_seconds:.1f} s"
        findings.found("P214", what)


def _check_module(findings: Findings, entry: EntryPoint, installed: Installed) -> None:
    """Check that the module declares what entry points name, and that its package is typed."""
    findings.tried("P301")
    module = installed.load(entry)
    modules = family_of(installed, module)
    if (lacking := lack(entry, modules)) is not None:
        findings.found("P101", f"{entry.module} {lacking}")
    named = [each.name for each in installed.entries if each.distribution == entry.distribution]
    for each in services_in(modules):
        if each not in named:
            findings.found("P101", f"{entry.module} declares {each}, and no entry point names it")
    if not _is_typed(module):
        findings.found("P301", f"{entry.module.partition('.')[0]} has no py.typed")


def _is_typed(module: ModuleType) -> bool:
    top = find_spec(module.__name__.partition(".")[0])
    folders = top.submodule_search_locations if top is not None else None
    return any(Path(each, "py.typed").is_file() for each in folders or ())


def _check_metadata(findings: Findings, metadata: Metadata, requires: Sequence[str]) -> None:
    findings.tried("P212", "P213")
    lacking = [] if metadata.get("requires_python") else ["it has no requires-python"]
    if oldest_core(requires) is None:
        own = _of_core(requires)
        lacking.append(f"it requires {own[0]}, without a lower bound" if own else f"it does not require {_CORE}")
    if lacking:
        findings.found("P212", " and ".join(lacking))
    if lacking := list(_lacking_texts(metadata)):
        findings.found("P213", f"it has no {' and no '.join(lacking)}")


def oldest_core(requires: Sequence[str]) -> str | None:
    """Return the oldest version of the core that requirements allow; None if they do not say."""
    bounds = (re.search(r"(?:>=|~=|==)\s*(\d[\w.!+]*)", each) for each in _of_core(requires))
    return next((each[1].rstrip(".") for each in bounds if each is not None), None)


def _of_core(requires: Sequence[str]) -> list[str]:
    return [each for each in requires if re.match(rf"{_CORE}(?![-\w.])", re.sub(r"[-_.]+", "-", each.lower()))]


def _lacking_texts(metadata: Metadata) -> Iterator[str]:
    licences = (metadata.get("license_expression"), metadata.get("license"), *metadata.get("classifier", ()))
    if not any(each and ("::" not in each or each.startswith("License ::")) for each in licences):
        yield "licence"
    if not str(metadata.get("description") or "").strip():
        yield "readme"


def _check_readme(findings: Findings, provider: Provider, metadata: Metadata) -> None:
    """Check that the readme names the options of the provider itself, and its keys."""
    findings.tried("P302")
    spec: ProviderSpec = provider.spec
    names = [name for group in provider.groups for name in group.parameters]
    names += [*spec.parameters, *(key_variable(spec.provider, each.name) for each in spec.secrets)]
    text = str(metadata.get("description") or "")
    lacking = [each for each in dict.fromkeys(names) if not re.search(rf"(?<!\w){re.escape(each)}(?!\w)", text)]
    if lacking:
        findings.found("P302", f"it does not name {', '.join(lacking)}")


def rule_tests(package: str, checks: Path | None = None, *, level: Level = "gold") -> Callable[[str, str], None]:
    """Return a test function with a case for each provider of an installed distribution, and each rule of a level.

    `checks` is a file such as tests/conformance.py, which `rtvi check` reads too; `load_checks` says what it has. A
    provider is checked once, at its first case. What is only checked on request has no case.
    """
    import pytest

    kinds = {each.name: each.kind for each in providers_of(package)}
    rules = [each for each in RULES.values() if get_args(Level).index(each.level) <= get_args(Level).index(level)]
    cases = [
        pytest.param(provider, rule.id, id=f"{provider}-{rule.id}")
        for provider, kind in kinds.items()
        for rule in rules
        if not rule.on_request and (not rule.kinds or kind in rule.kinds)
    ]

    @cache
    def how() -> Mapping[str, ProviderCheck]:
        return load_checks(checks) if checks is not None else {}

    probed = cache(import_apart)  # providers may share a module

    @cache
    def report(provider: str) -> Report:
        return _check(package, how(), provider, probed).reports[0]

    @pytest.mark.parametrize(("provider", "rule"), cases)
    def test_rule(provider: str, rule: str) -> None:
        """A provider keeps a rule, or its exception is explained."""
        [result] = [each for each in report(provider).results if each.rule == rule]
        assert result.state not in ("broken", "not checked"), str(BrokenRule(rule, provider, result.what))

    return test_rule
