"""The response to a request or a WebSocket handshake that failed.

A WebSocket is refused *before* it is accepted. Published clients treat a failed handshake as a failed `connect()` and
reject it. A socket that is accepted and then closed counts as connected, and `connect()` waits for a `bot-ready` that
never comes. The drawback: a page's script sees only close code 1006. The reason is in the body of the HTTP response,
which the network panel of a browser shows, and clients outside browsers can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from rtvi_plugins.errors import RequestError

from ._refusals import refusal_body

__all__ = ("close_event", "error_response", "no_route_response", "send_error")

_POLICY_VIOLATION = 1008


def error_response(error: RequestError) -> Response:
    """Return the HTTP response for an error."""
    details = error.to_json().get("details", [])
    body = refusal_body(error.message, error.code, retryable=error.retryable, details=details)
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return JSONResponse(body, error.status, headers=headers)


def no_route_response(error: HTTPException, scope: Scope, offered: Mapping[str, str]) -> Response:
    """Return the HTTP response for a request that no route accepts.

    `offered` maps each path of this server to how it is used.
    """
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        sentence = f"There is nothing at this path; this server has {', '.join(offered.values())}."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED and scope["path"] in offered:
        sentence = f"{scope['method']} is not accepted here; use {offered[scope['path']]}."
    else:
        sentence = f"{status.phrase}."
    body = refusal_body(sentence, status.phrase.lower().replace(" ", "-"), retryable=False)
    return JSONResponse(body, error.status_code, headers=error.headers)


async def send_error(error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or refuse the handshake of a WebSocket, with an error."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        # The server cannot send a body here; it answers 403.
        await send(close_event(_POLICY_VIOLATION, error.message))
    else:
        await error_response(error)(scope, receive, send)


def close_event(code: int, reason: str) -> dict[str, Any]:
    """Return the ASGI event that closes a WebSocket. The protocol allows 123 bytes of reason."""
    return {"type": "websocket.close", "code": code, "reason": reason.encode()[:123].decode(errors="ignore")}
