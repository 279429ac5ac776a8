"""Hold the providers of a module against the rules, on the event loop that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from attrs import field, frozen

from ..declare.specs import ProviderSpec, specs_in
from ..errors import AuthorError
from ..utils.task_context import asyncio_task
from .faults import Vendor
from .results import Findings, Problem
from .rules import RULES
from .service_check import ServiceCheck, Sessions
from .visible import KEY

__all__ = ("ProviderCheck", "check_providers", "find_problems", "run_check")


@frozen
class ProviderCheck:
    """How one provider is checked.

    `vendor` opens a fake of its vendor. Without it, the answers of a provider that has a key are not checked, and no
    vendor is called. `api_keys` defaults to a made-up key for each. `waive` has the reason why a rule is not kept, by
    its id: at most one, and a rule that has exceptions. Else it raises `AuthorError`.
    """

    vendor: Vendor | None = None
    service_options: Mapping[str, Any] = field(factory=dict[str, Any])
    api_keys: Mapping[str, str] = field(factory=dict[str, str])
    waive: Mapping[str, str] = field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        if (problem := next(_problems_of_waivers(self.waive), None)) is not None:
            raise AuthorError(f"ProviderCheck(waive={dict(self.waive)!r}): {problem}")


def _problems_of_waivers(waive: Mapping[str, str]) -> Iterator[str]:
    if len(waive) > 1:
        yield "a provider has at most one exception. Keep the other rules."
    for rule, reason in waive.items():
        if rule not in RULES:
            yield f"there is no rule {rule!r}. See `rtvi_plugins.testing.RULES`."
        elif not RULES[rule].waivable:
            yield f"{rule} has no exceptions. {RULES[rule].mend}"
        elif not reason.strip():
            yield f"say why {rule} is not kept."


async def check_providers(
    module: ModuleType,
    *,
    api_keys: Mapping[str, Any] | None = None,
    service_options: Mapping[str, Any] | None = None,
    vendor: Vendor | None = None,
    waive: Mapping[str, str] | None = None,
) -> None:
    """Hold every provider of a module against the `RULES`. `AssertionError` says what is wrong, and how to mend it.

    The arguments are those of `ProviderCheck`, for all providers of the module. `api_keys` and `service_options` are
    by provider, as in a start request. The rules of the package are not checked here; `rule_tests` has them all.
    """
    waived = ProviderCheck(waive=waive or {}).waive
    problems = await find_problems(module, api_keys=api_keys, service_options=service_options, vendor=vendor)
    broken = [each for each in problems if each.rule not in waived]
    assert not broken, "\n\n".join(map(str, broken))


async def find_problems(
    module: ModuleType,
    *,
    api_keys: Mapping[str, Any] | None = None,
    service_options: Mapping[str, Any] | None = None,
    vendor: Vendor | None = None,
    provider: str | None = None,
) -> list[Problem]:
    """Return the rules that the providers of a module break, on the event loop that runs.

    The arguments are those of `check_providers`; `provider` limits the check to one.
    """
    specs = [spec for spec in specs_in(module) if isinstance(spec, ProviderSpec) and provider in (None, spec.provider)]
    assert specs, f"{module.__name__} declares no service"
    problems: list[Problem] = []
    for spec in specs:
        keys: str | Mapping[str, str] = (api_keys or {}).get(spec.provider, {})
        options = (service_options or {}).get(spec.provider, {})
        check = ProviderCheck(vendor, options, {"api_key": keys} if isinstance(keys, str) else keys)
        found = await run_check(module, spec, check)
        problems += found.problems.values()
    return problems


async def run_check(
    module: ModuleType, spec: ProviderSpec, check: ProviderCheck, findings: Findings | None = None
) -> Findings:
    """Check one provider, on the event loop that runs. Return the findings, by default new ones."""
    findings = findings or Findings(f"{spec.kind}.{spec.provider}")
    if spec.asyncio_only and asyncio_task() is None:  # the framework does not open it on trio
        return findings
    await _run(module, spec, check, findings)
    if "P209" in findings.problems:  # a machine that is too busy looks like a block, but not twice
        await _run(module, spec, check, again := Findings(findings.provider))
        if "P209" not in again.problems:
            del findings.problems["P209"]
    return findings


async def _run(module: ModuleType, spec: ProviderSpec, check: ProviderCheck, findings: Findings) -> None:
    keys = {**{each.name: KEY for each in spec.secrets}, **check.api_keys}
    sessions = Sessions(spec, module, keys, check.service_options)
    await ServiceCheck(spec, module, check.vendor, sessions, findings).run()
