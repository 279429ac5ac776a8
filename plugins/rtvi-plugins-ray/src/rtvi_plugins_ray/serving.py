"""The application for Ray Serve: workers that hold sessions, and front ends that take starts.

A worker is a `Host` behind the server of `rtvi run`, on a port of its own. The address of a session's WebSocket is that
of its worker, so no message or audio goes through a proxy of Ray. A front end has no state: it passes a start to the
worker with the fewest sessions, and a resume to the worker that has the session.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import httpx2
import orjson
import ray
from attrs import asdict, field, frozen
from ray import serve
from ray.serve import config
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rtvi_plugins.cli import secret_in
from rtvi_plugins.errors import MessageTooLarge
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.loading import load_bot
from rtvi_plugins.resuming import SessionStore
from rtvi_plugins.stores import open_store
from rtvi_plugins_server import create_app
from rtvi_plugins_server.embedding import serving
from rtvi_plugins_server.starting import PRIVATE, SECRET_HEADER, read_body

from .placing import OPEN

__all__ = ("Settings", "build", "has_several_nodes")

# Their types are partly unknown.
_Serve: Any = serve
_config: Any = config
_Ray: Any = ray

#: No client has this address. A front end's requests come from it, and so its `X-Forwarded-For` can be trusted.
_FRONT_END: Final = "0.0.0.0"
#: What a front end passes to a worker of a request's headers.
_PASSED: Final = ("content-type", "origin", SECRET_HEADER)
#: How long the owner of a session may take to answer a front end, in seconds.
_OWNER_SECONDS: Final = 2.0
#: How long sessions wait for their running actions before they continue elsewhere, after `drain_seconds`.
_MOVING_SECONDS: Final = 2.0
#: How often a draining worker looks whether its sessions have ended, in seconds.
_LOOK: Final = 0.2


@frozen(kw_only=True)
class Settings:
    """How a bot is served. Times are in seconds.

    `store` is a path or a URL, as of `rtvi run --resume`; without one, sessions end with their worker. `keep_days` is
    that of a `Host`. `address` is where clients reach a worker: `{ip}` and `{port}` become the address of its node and
    its port. `listen` is the address of its socket. `origins`, `plugins` and `limits` are those of `rtvi run`.
    """

    store: str | None = None
    resume_seconds: float = 60.0
    keep_days: float = 0.0
    address: str = "http://{ip}:{port}"
    listen: str = "{ip}"
    origins: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    limits: Limits = field(factory=Limits)
    drain_seconds: float = 600.0


@_Serve.deployment(name="workers", health_check_period_s=1, health_check_timeout_s=3, graceful_shutdown_wait_loop_s=0.5)
class Worker:
    """Holds sessions. Ray Serve starts, supervises and ends it."""

    async def __init__(self, target: str, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        self._settings = chosen = _read(settings)
        ip = _Ray.util.get_node_ip_address()
        listens = chosen.listen.format(ip=ip)
        family = socket.AF_INET6 if ":" in listens else socket.AF_INET
        listener = socket.create_server((listens, 0), family=family, backlog=2048)
        self.address = chosen.address.format(ip=ip, port=listener.getsockname()[1])
        secrets = (secret_in(os.environ, each) for each in ("RTVI_OPERATOR_SECRET", "RTVI_OPERATOR_SECRET_PREVIOUS"))
        self.host = Host(
            load_bot(target),
            operator_secret=[each for each in secrets if each is not None],
            plugins=chosen.plugins,
            limits=chosen.limits,
            store=None if chosen.store is None else open_store(chosen.store),
            address=self.address,
            resume_seconds=chosen.resume_seconds,
            keep_days=chosen.keep_days,
        )
        app = create_app(
            self.host, public_url=self.address, page=False, origins=chosen.origins, proxies=[f"{_FRONT_END}/32"]
        )
        self._stack = AsyncExitStack()
        self._serving = await self._stack.enter_async_context(serving(app, self.host, listener))
        transport = httpx2.ASGITransport(app, client=(_FRONT_END, 0))
        self._http = httpx2.AsyncClient(transport=transport, base_url=self.address)
        self._reports = 0

    async def start(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Start a session as a request asks. Return the status and the body of the response."""
        response = await self._http.post(path, content=body, headers=dict(headers))
        return response.status_code, response.content

    def record_routing_stats(self) -> dict[str, int]:
        """Report for `FewestSessions`."""
        self._reports += 1
        return {OPEN: self.host.open_sessions, "number": self._reports}

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report for `workers_for_sessions`."""
        return {OPEN: float(self.host.open_sessions)}

    def check_health(self) -> None:
        """Raise if the server has ended."""
        if self._serving.done():
            raise RuntimeError("The server of the worker has ended.")

    async def __del__(self) -> None:
        """Drain. Ray Serve calls this before it ends the worker, and waits."""
        self.host.drain()
        now = asyncio.get_running_loop().time
        until = now() + self._settings.drain_seconds
        while self.host.open_sessions and now() < until:  # noqa: ASYNC110  # nobody would set an event
            await asyncio.sleep(_LOOK)
        until = now() + _MOVING_SECONDS
        while not self.host.move_sessions() and now() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
        await self._stack.aclose()  # what is left is closed with 1012, and resumes elsewhere


@_Serve.deployment(name="front", max_ongoing_requests=1000)
class FrontEnd:
    """Takes starts. It keeps nothing, so that any other can take its place."""

    def __init__(self, workers: Any, settings: Mapping[str, Any]) -> None:
        self._workers = workers
        chosen = _read(settings)
        self._store: SessionStore | None = None if chosen.store is None else open_store(chosen.store)
        self._entering = asyncio.Lock()
        self._entered = False
        self._http = httpx2.AsyncClient(timeout=_OWNER_SECONDS)

    async def __call__(self, request: Request) -> Response:
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        if path == "/health" and request.method == "GET":
            return JSONResponse({"status": "ok"}, headers=PRIVATE)
        if path not in ("/start", "/connect", "/webrtc/start", "/describe") or request.method != "POST":
            sentence = "There is nothing at this path; use POST /start, /connect, /webrtc/start or /describe."
            return _refused(sentence, "not-found", 404)
        try:
            body, headers = await read_body(request), _passed(request)
        except MessageTooLarge as error:
            return _refused(error.message, error.code, error.status)
        status, answer = await self._at_owner(path, body, headers) or await self._workers.start.remote(
            path, body, headers
        )
        return Response(answer, status, PRIVATE, "application/json")

    async def _at_owner(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Pass a resume to the worker that has the session. None if this is not a resume, or if that worker is gone."""
        if self._store is None or b'"resume"' not in body:
            return None
        try:
            async with self._entering:
                if not self._entered:
                    await self._store.__aenter__()
                    self._entered = True
            token: Any = orjson.loads(body)["resume"]
            owner = await self._store.owner(str(token).partition(".")[0])
        except Exception:  # the worker that claims says what is wrong
            return None
        if not owner:
            return None
        try:
            response = await self._http.post(f"{owner}{path}", content=body, headers=dict(headers))
        except httpx2.TransportError:
            return None
        return response.status_code, response.content


def _refused(sentence: str, code: str, status: int) -> Response:
    none = list[object]()
    body = {"info": sentence, "detail": sentence, "error": code, "retryable": False, "details": none}
    return JSONResponse(body, status)


def _passed(request: Request) -> dict[str, str]:
    headers = {name: value for name in _PASSED if (value := request.headers.get(name)) is not None}
    return headers | ({"x-forwarded-for": request.client.host} if request.client is not None else {})


def _read(settings: Mapping[str, Any]) -> Settings:
    values: dict[str, Any] = {**settings, "limits": Limits(**settings["limits"])}
    return Settings(**values)


def build(
    target: str,
    settings: Settings | None = None,
    *,
    workers: tuple[int, int] = (2, 2),
    sessions: int = 100,
    cpus: float = 1.0,
    front_ends: int = 2,
    per_node: int | None = None,
) -> Any:
    """Return the application for a bot, as `rtvi run` names it.

    There are from `workers[0]` to `workers[1]` workers: enough for each to hold about `sessions`. Each takes `cpus` of
    its node, and at most `per_node` are on one node. If the cluster has several nodes, no node gets all front ends.
    """
    chosen = settings or Settings()
    least, most = workers
    options: dict[str, Any] = {
        "max_ongoing_requests": 1000,
        "graceful_shutdown_timeout_s": chosen.drain_seconds + 5,
        "ray_actor_options": {"num_cpus": cpus},
        "request_router_config": _config.RequestRouterConfig(
            request_router_class="rtvi_plugins_ray.placing:FewestSessions", request_routing_stats_period_s=0.5
        ),
    }
    if per_node is not None:
        options["max_replicas_per_node"] = per_node
    if least == most:
        options["num_replicas"] = least
    else:
        options["autoscaling_config"] = {
            "min_replicas": least,
            "max_replicas": most,
            "target_ongoing_requests": sessions,
            "upscale_delay_s": 1,
            "downscale_delay_s": 5,
            "metrics_interval_s": 0.5,
            "look_back_period_s": 2,
            "policy": _config.AutoscalingPolicy(policy_function="rtvi_plugins_ray.placing:workers_for_sessions"),
        }
    sent = {**asdict(chosen, recurse=False), "limits": asdict(chosen.limits)}
    worker: Any = Worker
    front_end: Any = FrontEnd
    bound = worker.options(**options).bind(target, sent)
    front_end_options: dict[str, Any] = {"num_replicas": front_ends, "ray_actor_options": {"num_cpus": 0}}
    if front_ends > 1 and has_several_nodes():
        front_end_options["max_replicas_per_node"] = front_ends - 1  # if one node dies, a front end must be left
    return front_end.options(**front_end_options).bind(bound, sent)


def has_several_nodes() -> bool:
    """Return whether Ray is connected to a cluster of more than one node."""
    return bool(_Ray.is_initialized()) and sum(bool(each["Alive"]) for each in _Ray.nodes()) > 1
