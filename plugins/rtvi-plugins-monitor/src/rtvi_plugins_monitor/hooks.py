"""The hooks of the plugin `monitor`, and its routes `/metrics` and `/sessions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rtvi_plugins.events import BotTurnEnded, Event, Metrics
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins.session import Session
from rtvi_plugins_server.starting import PRIVATE, SECRET_HEADER, client_address

from . import metrics
from .sessions import LiveSessions
from .workers import ask_others, merge

__all__ = (
    "action_finished",
    "action_started",
    "error_reported",
    "event_emitted",
    "server_routes",
    "session_closed",
    "session_opened",
    "start_finished",
)

_live: Final = LiveSessions()
_BEARER: Final = "bearer "


@hookimpl
def start_finished(seconds: float, error: str | None) -> None:
    """Count the start."""
    metrics.STARTS.labels(error or "ok").inc()
    metrics.START_SECONDS.observe(seconds)


@hookimpl
def session_opened(session: Session) -> None:
    """Count the session, and show it."""
    metrics.OPEN.inc()
    _live.opened(session)


@hookimpl
def session_closed(session: Session, reason: str) -> None:
    """Remove the session from the view."""
    metrics.OPEN.dec()
    metrics.ENDED.labels(reason or "ok").inc()
    _live.closed(session)


@hookimpl
def action_started(session: Session, call: int) -> None:
    """Note when the action began."""
    _live.started(session, call)


@hookimpl
def action_finished(session: Session, service: str, action: str, error: str | None, call: int) -> None:
    """Count the call, and its time."""
    metrics.ACTIONS.labels(service, action, error or "ok").inc()
    if (seconds := _live.finished(session, call)) is not None:
        metrics.ACTION_SECONDS.labels(service, action).observe(seconds)


@hookimpl
def error_reported(session: Session, code: str, provider: str | None, category: str | None) -> None:
    """Count the error."""
    metrics.ERRORS.labels(code, provider or "", category or "").inc()
    _live.failed(session, code)


@hookimpl
def event_emitted(session: Session, event: Event) -> None:
    """Count turns, latencies and usage."""
    match event:
        case BotTurnEnded():
            metrics.TURNS.labels("interrupted" if event.interrupted else "whole").inc()
        case Metrics():
            _measure(event, event.provider or "")
        case _:
            return
    _live.happened(session, event)


def _measure(event: Metrics, provider: str) -> None:
    if event.voice_to_voice is not None:
        metrics.VOICE_TO_VOICE.observe(event.voice_to_voice)
    if event.ttfb is not None:
        metrics.FIRST_OUTPUT.labels(event.processor, provider).observe(event.ttfb)
    for kind, tokens in (("prompt", event.prompt_tokens), ("completion", event.completion_tokens)):
        if tokens:
            metrics.TOKENS.labels(provider, kind).inc(tokens)
    if event.characters:
        metrics.CHARACTERS.labels(provider).inc(event.characters)
    if event.seconds:
        metrics.AUDIO_SECONDS.labels(event.processor, provider).inc(event.seconds)


@hookimpl
def server_routes(host: Host) -> Sequence[BaseRoute]:
    """Return the routes. Both are only for the operator."""

    async def exposition(request: Request) -> Response:
        host.check_operator(_secret(request), address=client_address(request))
        metrics.LOAD.set(host.load)
        text = metrics.exposition()
        if (others := await ask_others(request)) is not None:
            own, answers = others
            text = merge({**answers, own: text})
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=PRIVATE)

    async def sessions(request: Request) -> Response:
        host.check_operator(_secret(request), address=client_address(request))
        body = {"draining": host.draining, "load": round(host.load, 3), "sessions": _live.to_json()}
        if (others := await ask_others(request)) is not None:
            body = _together(body, others[1])
        return JSONResponse(body, headers=PRIVATE)

    return [Route("/metrics", exposition, methods=["GET"]), Route("/sessions", sessions, methods=["GET"])]


def _together(own: Mapping[str, Any], answers: Mapping[int, bytes | None]) -> dict[str, Any]:
    """Return the views of all workers as one. Its load is the lowest: new sessions go to that worker."""
    views: list[Any] = [own, *(orjson.loads(each) for each in answers.values() if each is not None)]
    staying = [each for each in views if not each["draining"]]
    return {
        "draining": not staying,
        "load": min(each["load"] for each in staying or views),
        "sessions": [session for each in views for session in each["sessions"]],
        "workers": len(views),
        "silent_workers": sorted(key for key, each in answers.items() if each is None),
    }


def _secret(request: Request) -> str | None:
    """Return the operator's secret. Prometheus can send it as a bearer token, but not in a header of our own."""
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(_BEARER):
        return authorization[len(_BEARER) :]
    return request.headers.get(SECRET_HEADER)
