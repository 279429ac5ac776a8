"""Where a front end places sessions, by the reports of the workers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from attrs import define, field

from rtvi_plugins_ray.placing import OPEN, FewestSessions

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@define
class Replica:
    """A worker, as Ray shows it to the router."""

    unique_id: str
    routing_stats: dict[str, int] = field(factory=dict[str, int])

    @property
    def replica_id(self) -> Replica:
        """Return what has the id."""
        return self

    def reports(self, number: int, sessions: int) -> None:
        """Send a report."""
        self.routing_stats = {"number": number, OPEN: sessions}


def test_a_worker_that_stops_reporting_gets_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few sessions it had. If none reports, the one with the fewest gets them."""
    made: Any = FewestSessions
    router = made.__new__(made)
    dead, lives = workers = [Replica("dead"), Replica("lives")]

    def first(now: float) -> str:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        return str(asyncio.run(router.choose_replicas(workers))[0][0].unique_id)

    dead.reports(7, 2)
    lives.reports(7, 20)
    assert first(0.0) == "dead"
    lives.reports(8, 20)
    assert first(1.0) == "dead"
    lives.reports(9, 20)
    assert [first(2.0), first(2.5)] == ["lives", "lives"]
    assert first(9.0) == "dead"
