"""How a refusal looks to each client: the JSON body of a failed request, and the answer to a refused WebSocket.

A WebSocket is refused *before* it is accepted. The published clients take a failed handshake for a failed `connect()`
and reject it; a socket that is accepted and then closed counts as connected, and `connect()` is left waiting for a
`bot-ready` that never comes. The price is that a page's script sees no more than close code 1006, so the reason stands
in the body of the HTTP answer: a browser's network panel shows it, and clients outside of browsers can read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from rtvi_plugins.errors import RequestError

__all__ = ("close_event", "refuse", "refused", "unrouted")

_POLICY_VIOLATION = 1008


def refused(error: RequestError) -> Response:
    """The HTTP answer to a request that is refused or failed."""
    told = error.to_json()
    body = _body(error.message, error.code, retryable=error.retryable, details=told.get("details", []))
    return JSONResponse(body, error.status)


def unrouted(error: HTTPException, scope: Scope, offered: Mapping[str, str]) -> Response:
    """The HTTP answer to what no route takes. `offered` maps each path of this server to how it is used."""
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        sentence = f"There is nothing at this path; this server has {', '.join(offered.values())}."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED and scope["path"] in offered:
        sentence = f"{scope['method']} is not accepted here; use {offered[scope['path']]}."
    else:
        sentence = f"{status.phrase}."
    body = _body(sentence, status.phrase.lower().replace(" ", "-"), retryable=False, details=[])
    return JSONResponse(body, error.status_code, headers=error.headers)


def _body(sentence: str, code: str, *, retryable: bool, details: Sequence[Any]) -> Mapping[str, Any]:
    # 0.1 shows `info` and `error`; later clients `info`, or else `detail`, which must be text to be readable.
    return {"info": sentence, "detail": sentence, "error": code, "retryable": retryable, "details": details}


async def refuse(error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or the handshake of a WebSocket, with a refusal."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        # The server cannot send a body here; it answers 403.
        await send(close_event(_POLICY_VIOLATION, error.message))
    else:
        await refused(error)(scope, receive, send)


def close_event(code: int, reason: str) -> dict[str, Any]:
    """The event that closes a WebSocket. The protocol has room for 123 bytes of reason."""
    return {"type": "websocket.close", "code": code, "reason": reason.encode()[:123].decode(errors="ignore")}
