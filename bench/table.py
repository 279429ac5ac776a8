"""The figures, compared with the targets, as rows of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from peers.environments import python_of

#: One for each round: what each case measured in it, by name.
Rounds = Sequence[Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Row:
    """One figure. Without a target, it is shown for comparison. With `least`, the target is a lower bound.

    A peer that is not installed has no figure.
    """

    what: str
    value: float
    unit: str
    target: float | None = None
    least: bool = False
    detail: str = ""
    installed: bool = True

    @property
    def verdict(self) -> str:
        if not self.installed:
            return ""
        if math.isnan(self.value):
            return "FAILED"
        if self.target is None:
            return ""
        return "met" if (self.value >= self.target) == self.least or self.value == self.target else "MISSED"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": None if math.isnan(self.value) else self.value, "verdict": self.verdict}


def of_rounds(rounds: Rounds, figure: Callable[[Mapping[str, Mapping[str, float]]], float]) -> float:
    """The median over the rounds of a figure that is taken within each of them; NaN when no round has it."""
    found: list[float] = []
    for each in rounds:
        try:
            found.append(figure(each))
        except KeyError:
            continue
    return statistics.median(found) if found else math.nan


def middle(rounds: Rounds, case: str, key: str) -> float:
    """The median of what a case measured."""
    return of_rounds(rounds, lambda cases: cases[case][key])


def ratio(rounds: Rounds, case: str, floor: str, key: str = "us") -> float:
    """The median over the rounds of a case's figure over the floor's of the same round."""
    return of_rounds(rounds, lambda cases: cases[case][key] / cases[floor][key])


def over(rounds: Rounds, case: str, floor: str, key: str) -> float:
    """The median over the rounds of what a case takes more than the floor of the same round."""
    return of_rounds(rounds, lambda cases: cases[case][key] - cases[floor][key])


def times_floor(rounds: Rounds, what: str, case: str, floor: str = "floor", target: float | None = None) -> Row:
    """Return a row with the ratio of a case to the floor, and the times of both in µs."""
    detail = f"{middle(rounds, case, 'us'):.2f} µs, floor {middle(rounds, floor, 'us'):.2f} µs"
    return Row(what, ratio(rounds, case, floor), "x", target, detail=detail)


def of_peer(environment: str, row: Row) -> Row:
    """Return a row with a peer's figure, or one that says that the peer is not installed."""
    return row if python_of(environment) else replace(row, value=math.nan, installed=False, detail="")


def ahead_of(
    rounds: Rounds, peer: tuple[str, str], case: str, ours: str, floor: str, what: str = "", target: float | None = None
) -> Row:
    """Return a row with the ratio of a peer's case to ours. The peer has its name and environment."""
    name, environment = peer
    detail = f"{middle(rounds, case, 'us'):,.1f} µs, {ratio(rounds, case, floor):,.1f} times the floor"
    row = Row(f"{what}ahead of {name}", ratio(rounds, case, ours), "x", target, least=True, detail=detail)
    return of_peer(environment, row)


def render(rows: Mapping[str, Sequence[Row]]) -> str:
    """The rows of each section as a table for a terminal."""
    header = ("section", "what", "measured", "target", "verdict", "detail")
    lines = [header, *(_cells(section, row) for section, found in rows.items() for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines[0], rule, *lines[1:])
    )


def _cells(section: str, row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"{'>=' if row.least else '<='} {row.target:g} {row.unit}"
    return section, row.what, _measured(row), target, row.verdict, row.detail


def _measured(row: Row) -> str:
    if not row.installed:
        return "not installed"
    return f"{row.value:,.0f} {row.unit}" if row.value >= 1_000 else f"{row.value:.3g} {row.unit}"
