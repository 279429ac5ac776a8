"""If very much is wrong with a message, the work to report it and the answer are bounded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rtvi_plugins.declare.annotations import read
from rtvi_plugins.declare.types import check
from rtvi_plugins.errors import Problem, RequestError, unknown
from rtvi_plugins.utils.json_values import MAX_PROBLEMS, is_nested_deeper
from rtvi_plugins.utils.names import nearest

from ..fakes.faulty import faulty
from ..fakes.wire import OPERATOR, connected, host_of

MANY = 5_000
STRANGE: dict[str, Any] = {f"strange_{number}": {} for number in range(MANY)}
OPTIONS = [{"name": f"option_{number}", "value": 1} for number in range(MANY)]
LONG = "x" * 60_000
#: What a start carries: each is wrong in thousands of places, or in one that is long.
STARTS: dict[str, Any] = {
    "services": {"services": STRANGE},
    "config": {"config": STRANGE},
    "config as an array": {"config": [{"service": name, "options": []} for name in STRANGE]},
    "config of anything": {"config": [1] * MANY},
    "options": {"config": [{"service": "llm", "options": OPTIONS}]},
    "options of anything": {"config": [{"service": "llm", "options": [1] * MANY}]},
    "one option again and again": {"config": [{"service": "llm", "options": OPTIONS[:1] * MANY}]},
    "providers": {"config": [{"service": "llm", "options": [{"name": "provider", "value": "no"}] * MANY}]},
    "defaults": {"defaults": STRANGE},
    "defaults of options": {"defaults": {"llm": STRANGE}},
    "service_options": {"service_options": STRANGE},
    "service_options of one": {"service_options": {"llm.faulty": STRANGE}},
    "api_keys": {"api_keys": dict.fromkeys(STRANGE, 1)},
    "api_keys of one": {"api_keys": {"faulty": dict.fromkeys(STRANGE, 1)}},
    "grants": {"grants": [f"llm.{name}" for name in STRANGE]},
    "grants of anything": {"grants": [1] * MANY},
    "bounds": {"grants": [{"name": "llm.model", "arguments": {name: {"gee": 1} for name in STRANGE}}]},
    "a long service": {"config": {LONG: {}}},
    "a long provider": {"services": {"llm": LONG}},
    "long options": {"config": {"llm": {f"{LONG}{number}": 1 for number in range(9)}}},
}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of names that each search for the nearest name compares."""
    found: list[int] = []
    original = difflib.get_close_matches

    def counted(word: str, possibilities: Sequence[str], n: int, cutoff: float) -> list[str]:
        found.append(len(possibilities))
        assert len(word) <= 64
        return original(word, possibilities, n=n, cutoff=cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("body", STARTS.values(), ids=STARTS)
async def test_a_start_that_is_wrong_everywhere_gets_a_short_answer(body: object, searches: list[int]) -> None:
    """The first problems are listed. There are at most as many searches for names."""
    async with host_of(faulty) as host:
        with pytest.raises(RequestError) as refused:
            await host.start(body, secret=OPERATOR)
    assert 1 <= len(refused.value.problems) <= MAX_PROBLEMS
    assert len(json.dumps(refused.value.to_json())) < 20_000
    assert len(searches) <= 2 * MAX_PROBLEMS


UPDATES: dict[str, Any] = {
    "services": STRANGE,
    "services as an array": [{"service": name[:12], "options": []} for name in STRANGE][:1_500],
    "options": [{"service": "llm", "options": OPTIONS[:1_500]}],
    "options of anything": [{"service": "llm", "options": [1] * MANY}],
    "a long option": {"llm": {"y" * 60_000: 1}},
}


@pytest.mark.anyio
@pytest.mark.parametrize("config", UPDATES.values(), ids=UPDATES)
async def test_an_update_that_is_wrong_everywhere_gets_a_short_answer(config: object, searches: list[int]) -> None:
    """The whole update is refused, with its first problems."""
    async with connected(faulty) as wire:
        answer = await wire.error(wire.send("update-config", {"config": config}))
        assert len(answer.get("details", ())) <= MAX_PROBLEMS
        assert len(json.dumps(answer)) < 20_000
        assert len(searches) <= 2 * MAX_PROBLEMS


ARGUMENTS: dict[str, Callable[[], Any]] = {
    "unknown": lambda: [{"name": f"a{number}", "value": 1} for number in range(1_500)],
    "of anything": lambda: [1] * MANY,
    "by name": lambda: {f"a{number}": 1 for number in range(MANY)},
    "again and again": lambda: [{"name": "text", "value": ""}] * 1_500,
    "long": lambda: {"z" * 60_000: 1},
}


@pytest.mark.anyio
@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
async def test_arguments_that_are_wrong_everywhere_get_a_short_answer(
    arguments: Callable[[], Any], searches: list[int]
) -> None:
    """Their first problems are listed."""
    async with connected(faulty) as wire:
        call = {"service": "bot", "action": "echo", "arguments": arguments()}
        answer = await wire.error(wire.send("action", call))
        assert len(answer.get("details", ())) <= MAX_PROBLEMS
        assert len(json.dumps(answer)) < 20_000
        assert len(searches) <= MAX_PROBLEMS


def test_a_long_name_does_not_come_back_in_the_path_of_everything_inside() -> None:
    """A path has only the beginning of a long name."""
    problems = check(read(dict[str, dict[str, int]]), {LONG: dict.fromkeys(map(str, range(1_000)), "no")})[1]
    assert len(problems) == MAX_PROBLEMS
    assert sum(len(each.path) for each in problems) < 3_000


def test_a_problem_leaves_out_the_middle_of_what_is_long() -> None:
    """The beginning and the end of a path and of a value stay readable."""
    problem = Problem(f"$.{LONG}.end", f"first {LONG} last")
    assert problem.path.startswith("$.xxx")
    assert problem.path.endswith("xxx.end")
    assert problem.message.endswith("xxx last")
    assert (len(problem.path), len(problem.message)) == (300, 1_000)


def test_the_nearest_of_very_many_names_is_found_among_those_that_look_likely(searches: list[int]) -> None:
    """The time of a search does not grow with the number of names."""
    known = [f"name_{number:04}" for number in range(2_000)] + ["temperature"]
    assert nearest("temprature", known) == "temperature"
    assert unknown("option", "q" * 9, known).suggestion is None
    assert max(searches) <= 40


DEPTHS: list[tuple[object, int]] = [(1, 0), ([], 1), ([[]], 2), ({"a": [1, {"b": {}}]}, 4), ((1, (2, ())), 3)]


@pytest.mark.parametrize(("value", "depth"), DEPTHS)
def test_depth_counts_objects_and_arrays(value: object, depth: int) -> None:
    """Other values do not increase the depth."""
    assert not is_nested_deeper(value, depth)
    assert depth == 0 or is_nested_deeper(value, depth - 1)
