"""Place and scale by the sessions that workers report.

Ray Serve counts calls through its proxies. But the WebSocket of a session connects directly to a worker. And with one
open call for each session, the count would be lost when a front end dies.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final, cast

from attrs import define
from ray.serve import request_router

__all__ = ("OPEN", "FewestSessions", "workers_for_sessions")

#: The name of the number that workers report.
OPEN: Final = "open"

#: A worker that has not reported for this long is dead or stuck. Ray notices it later. In seconds.
_SILENT: Final = 1.5

# Ray's types are partly unknown.
_Router: Any = request_router.RequestRouter


@define
class _Seen:
    """What is known of a worker: its last report, when that came, and the sessions placed on the worker since."""

    number: int
    heard: float
    placed: int = 0


class FewestSessions(_Router):  # type: ignore[misc]
    """The worker with the fewest sessions: those of its last report, and those placed on it since.

    A worker that has stopped reporting comes last. Otherwise all the sessions that resume would go to a dead worker.
    """

    async def choose_replicas(self, candidate_replicas: list[Any], pending_request: Any = None) -> list[list[Any]]:
        """Return the workers for a start, the best first."""
        workers: dict[str, _Seen] = self.__dict__.setdefault("_seen", {})
        rank: dict[str, tuple[bool, int]] = {}
        now = time.monotonic()
        for each in candidate_replicas:
            key, report = each.replica_id.unique_id, each.routing_stats
            number = report.get("number", 0)
            if key not in workers or workers[key].number != number:
                workers[key] = _Seen(number, now)
            rank[key] = now - workers[key].heard > _SILENT, report.get(OPEN, 0) + workers[key].placed
        ranked = sorted(candidate_replicas, key=lambda each: rank[each.replica_id.unique_id])
        if ranked:
            workers[ranked[0].replica_id.unique_id].placed += 1
        return [[each] for each in ranked]


def workers_for_sessions(context: Any) -> tuple[int, dict[str, Any]]:
    """The policy of autoscaling: return how many workers are needed, at the wanted number of sessions for each."""
    metrics: dict[str, Any] = context.raw_metrics or {}
    reports = cast("dict[Any, Any]", metrics.get(OPEN, {}))
    total = sum(series[-1].value for series in reports.values() if series)
    wanted = math.ceil(total / context.config.target_ongoing_requests) or 1
    least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(least, min(most, wanted)), {}
