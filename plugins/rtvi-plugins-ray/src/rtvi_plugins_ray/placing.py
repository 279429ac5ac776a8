"""Place and scale by the sessions that workers report.

Ray Serve would count the calls that its proxies hold. A session is no such call: its WebSocket goes straight to its
worker. And if calls stood for sessions, a front end that dies would take the count of its sessions with it.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

from ray.serve import request_router

__all__ = ("OPEN", "FewestSessions", "workers_for_sessions")

#: The name of the number that workers report.
OPEN: Final = "open"

# Ray's types are partly unknown.
_Router: Any = request_router.RequestRouter


class FewestSessions(_Router):  # type: ignore[misc]
    """The worker with the fewest sessions: those of its last report, and those placed on it since."""

    async def choose_replicas(self, candidate_replicas: list[Any], pending_request: Any = None) -> list[list[Any]]:
        """Return the workers for a start, the best first."""
        placed: dict[str, tuple[int, int]] = self.__dict__.setdefault("_placed", {})
        load: dict[str, int] = {}
        for each in candidate_replicas:
            key, report = each.replica_id.unique_id, each.routing_stats
            number = report.get("number", 0)
            if placed.get(key, (-1, 0))[0] != number:
                placed[key] = (number, 0)
            load[key] = report.get(OPEN, 0) + placed[key][1]
        ranked = sorted(candidate_replicas, key=lambda each: load[each.replica_id.unique_id])
        if ranked:
            first = ranked[0].replica_id.unique_id
            placed[first] = (placed[first][0], placed[first][1] + 1)
        return [[each] for each in ranked]


def workers_for_sessions(context: Any) -> tuple[int, dict[str, Any]]:
    """Return how many workers hold all sessions, with the number that one should hold. The policy of autoscaling."""
    metrics: dict[str, Any] = context.raw_metrics or {}
    reports = cast("dict[Any, Any]", metrics.get(OPEN, {}))
    total = sum(series[-1].value for series in reports.values() if series)
    wanted = math.ceil(total / context.config.target_ongoing_requests) or 1
    least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(least, min(most, wanted)), {}
