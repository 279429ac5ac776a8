"""Answer for all workers of `rtvi run --workers`: the worker that gets a request asks the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import anyio
import httpcore2 as httpcore2  # httpx2 imports it for its first client, and no session is served meanwhile
import httpx2
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.exceptions import HTTPException
from starlette.requests import Request

from rtvi_plugins_server.workers import workers_of

__all__ = ("ask_others", "merge")

#: How long another worker may take to answer, in seconds: less than Prometheus' own 10.
_PATIENCE: Final = 3.0
_PASSED: Final = ("authorization", "x-rtvi-operator-secret")


async def ask_others(request: Request) -> tuple[int, Mapping[int, bytes | None]] | None:
    """Return the number of this worker, and what each other one answers: None if it does not.

    Return None if this worker answers only for itself: there is no other, or the path names this one. Raise if it
    names one that is gone.
    """
    workers = workers_of(request)
    if workers is None or workers.named == workers.own:
        return None
    if workers.named is not None:
        raise HTTPException(404)
    answers = dict[int, bytes | None]()
    headers = {name: value for name in _PASSED if (value := request.headers.get(name)) is not None}

    async def ask(http: httpx2.AsyncClient, key: int, url: str) -> None:
        try:
            response = await http.get(url, headers=headers)
        except httpx2.HTTPError:
            answers[key] = None
        else:
            answers[key] = response.content if response.status_code == 200 else None

    async with (
        # Reading the certificates takes 20 ms, in which no session is served. The URLs are http, on this machine.
        httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE, verify=False) as http,
        anyio.create_task_group() as tasks,
    ):
        for key, url in workers.urls(request).items():
            tasks.start_soon(ask, http, key, url)
    return workers.own, answers


def merge(expositions: Mapping[int, bytes | None]) -> bytes:
    """Return the metrics of all workers as one text. Each sample has the label `worker`, with the number.

    `rtvi_worker_up` is 0 for a worker that does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(list(_families(expositions))))
    return generate_latest(registry)


class _Merged:
    """A collector of what others have collected."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self._families


def _families(expositions: Mapping[int, bytes | None]) -> Iterator[Metric]:
    merged = dict[str, Metric]()
    up = Metric("rtvi_worker_up", "Whether a worker answers.", "gauge")
    for key, text in sorted(expositions.items()):
        label = {"worker": str(key)}
        up.add_sample(up.name, label, 0.0 if text is None else 1.0)
        for family in text_string_to_metric_families((text or b"").decode()):
            known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                known.add_sample(sample.name, {**sample.labels, **label}, sample.value)
    yield up
    yield from merged.values()
