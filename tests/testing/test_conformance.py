"""The conformance kit finds each broken provider by the rule that is meant for it, and by no other rule."""

from __future__ import annotations

import gc
import re
import time
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from rtvi_plugins import LLM, service
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.testing import check_providers, find_broken_rules
from rtvi_plugins.testing.conformance import own_time

from .mutants import GOOD, MUTANTS, Case, kept, kept_events, of, refuse_json

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def rules_broken(case: Case) -> list[str]:
    """Return the rules that the kit reports for a provider."""
    problems = await find_broken_rules(case.make(), vendor=case.vendor)
    for stream in kept:
        await stream.aclose()
    kept.clear()
    for event in kept_events:
        event.set()
    kept_events.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some mutants leave generators behind
        gc.collect()
    return [each.rule for each in problems]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
async def test_a_good_provider_breaks_no_rule(case: Case) -> None:
    """The kit reports no problem of a good provider."""
    assert await rules_broken(case) == []


@pytest.mark.parametrize(
    ("case", "anyio_backend"),
    [(case, ("asyncio", "trio")[number % 2]) for number, case in enumerate(MUTANTS)],
    ids=[case.name for case in MUTANTS],
    indirect=["anyio_backend"],
    scope="module",
)
async def test_a_broken_provider_is_found_by_its_rule(case: Case) -> None:
    """The report has exactly the rule that the mutant breaks. Half of the mutants run on each event loop."""
    assert await rules_broken(case) == [case.rule]


async def test_a_waived_rule_is_no_failure() -> None:
    """The reason is the author's. Cancellation and keys cannot be waived."""
    found = {each.name: each for each in MUTANTS}
    await check_providers(found["one with odd pieces"].make(), waive={"P204": "The engine is old."})
    with pytest.raises(AuthorError, match="P207 cannot be waived"):
        await check_providers(found["one that swallows a cancellation"].make(), waive={"P207": "It is quick."})


async def test_a_blocking_call_is_named() -> None:
    """The report has its function, file and line."""
    [found] = await find_broken_rules(next(each for each in MUTANTS if each.name == "one that blocks").make())
    assert found.rule == "P209"
    assert re.search(r"block\(\) \(.*mutants\.py:\d+\)", found.what)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True, scope="module")
@pytest.mark.parametrize(("times", "found"), [(1, []), (1_000, ["P209"])])
async def test_a_machine_that_is_busy_once_is_no_problem(times: int, found: list[str]) -> None:
    """A provider that blocks the event loop does so each time."""
    left = [times]

    class Busy:
        async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
            refuse_json(request)
            if left[0]:
                left[0] -= 1
                self.block()
            await anyio.lowlevel.checkpoint()
            yield Text("Hello.")

        def block(self) -> None:
            if not hasattr(self, "blocked"):
                self.blocked = True
                time.sleep(0.9)

    @service("llm", "mutant")
    @asynccontextmanager
    async def busy() -> AsyncGenerator[LLM]:
        """A provider."""
        yield Busy()

    assert [each.rule for each in await find_broken_rules(of("busy", busy))] == found


@pytest.mark.parametrize(("statistics", "waited"), [("7 2500000000 3\n", 2.5), ("", 0.0)])
async def test_time_that_other_processes_take_does_not_count(
    monkeypatch: pytest.MonkeyPatch, statistics: str, waited: float
) -> None:
    """If the system tells how long the thread has waited for a processor."""

    def read_text(path: Path) -> str:
        return statistics

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(time, "monotonic", lambda: 10.0)
    assert own_time()() == 10.0 - waited
