"""The workers of `rtvi run --workers`, for a plugin whose route answers for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from attrs import frozen
from starlette.requests import Request

__all__ = ("PLACE", "Workers", "workers_of")

#: The key of the `Workers` in the scope of a request.
PLACE: Final = "rtvi.workers"


@frozen
class Workers:
    """The worker that received a request, and all workers at that time by number, also those that drain.

    `named` is the worker that the path of the request names; None if any may answer it.
    """

    own: int
    all: tuple[int, ...]
    named: int | None = None

    def urls(self, request: Request) -> Mapping[int, str]:
        """Return the URL of this request at each of the other workers, through the socket that all of them share."""
        host, port = cast("tuple[str, int]", request.scope["server"])
        base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        return {key: f"{base}/w{key}{path}" for key in self.all if key != self.own}


def workers_of(request: Request) -> Workers | None:
    """Return the workers of the server that received a request; None if it is one process."""
    found: Workers | None = request.scope.get(PLACE)
    return found
