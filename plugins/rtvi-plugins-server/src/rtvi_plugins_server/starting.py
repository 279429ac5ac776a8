"""Start a session from an HTTP request: for this server's routes, and for the routes of plugins.

    async def offer(request: Request) -> Response:
        started = await start_session(request, host)
        return JSONResponse({"session": f"{base_url(request)}/sessions/{started.session_id}"}, headers=PRIVATE)

The app answers the errors raised here, and any other `RequestError`, in the form that every published client reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, cast

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from rtvi_plugins.errors import InvalidStart, MessageTooLarge, Problem
from rtvi_plugins.hosting import Host, Started

from ._addresses import client_group
from ._middleware import SECRET_HEADER
from ._workers.control import NUMBER

__all__ = (
    "BODY_BYTES",
    "PRIVATE",
    "SECRET_HEADER",
    "base_url",
    "client_address",
    "has_own_url",
    "read_body",
    "read_object",
    "start_session",
)

#: The default for the longest body of a start, in bytes.
BODY_BYTES: Final = 1_048_576
#: Headers for a response that must not be cached, because it contains the token of a session.
PRIVATE: Final[Mapping[str, str]] = {"cache-control": "no-store"}

#: The address of a worker: that of all, and the beginning of its paths.
_WORKER: Final = re.compile(r"(.*)(/w\d+)")
#: In the query of a start that another worker has sent here. The worker with the session may have ended, so it is not
#: sent on again.
_SENT: Final = "sent"

# A body that is too long is still read up to this multiple of the limit: a client that is cut off while it sends shows
# a broken connection, not the reason.
_READ_ON: Final = 16


async def start_session(request: Request, host: Host, *, body_bytes: int = BODY_BYTES) -> Started:
    """Start a session from the request's body and the operator's secret in its header.

    Raise `RequestError` if the start is refused: the body is longer than `body_bytes`, is not a JSON object, or asks
    for something that the host does not offer or grant. A start that resumes a session of another worker raises
    `HTTPException`, which the app answers with a redirect to that worker.
    """
    body = await read_object(request, body_bytes=body_bytes, host=host)
    await _redirect_to_owner(request, host, body)
    return await host.start(body, secret=request.headers.get(SECRET_HEADER), address=client_address(request))


async def _redirect_to_owner(request: Request, host: Host, body: Mapping[str, Any] | None) -> None:
    """Send a client that resumes a session to the worker that has it."""
    own = _WORKER.fullmatch(host.address)
    if own is None or _SENT in request.query_params:
        return
    owner = _WORKER.fullmatch(await host.owner_of(body) or "")
    if owner is None or owner[1] != own[1]:
        return
    # Relative to the client's address, so it is always this server. WorkerApp leaves `raw_path` as it was sent.
    path = request.scope["raw_path"].decode("latin-1")
    url = f"{'../' * (path.count('/') - 1)}{owner[2][1:]}{NUMBER.sub('', path, count=1)}?{_SENT}=1"
    raise HTTPException(HTTPStatus.TEMPORARY_REDIRECT, headers={**PRIVATE, "location": url})


def client_address(request: HTTPConnection) -> str | None:
    """Return the address by which the client is counted, for `Host.start`; None if it is unknown.

    This is the address that has connected. If that is one of the app's `proxies`, it is the address that the proxy
    reports. All addresses of an IPv6 /64 network count as one.
    """
    if request.client is None:
        return None
    return client_group(request.client.host, request.headers.getlist("x-forwarded-for"), request.app.state.proxies)


def has_own_url(request: Request) -> bool:
    """Return whether `base_url` belongs to one of several processes, or was set by the operator.

    If so, a client must send all requests after its start to it, and not to the URL to which it sent the start.
    """
    return request.app.state.public_url is not None or bool(request.scope.get("root_path"))


def base_url(request: Request, public_url: str | None = None) -> str:
    """Return the URL by which clients know this server, without a slash at its end.

    This is `public_url`, or the app's. Without either, it is the address to which the request was sent.
    """
    # X-Forwarded-Proto is ignored: anybody can send it. With a proxy, the operator gives the public URL.
    known: str = public_url or request.app.state.public_url or str(request.base_url)
    return known.rstrip("/")


async def read_body(request: Request, *, body_bytes: int = BODY_BYTES) -> bytes:
    """Return the whole body of a request. Raise `MessageTooLarge` if it is longer than `body_bytes`."""
    body, size = bytearray(), 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            if size <= body_bytes:
                body += chunk
            elif size > _READ_ON * body_bytes:
                break
    if size > body_bytes:
        raise MessageTooLarge(f"The body is too long; at most {body_bytes} bytes are accepted.")
    return bytes(body)


async def read_object(
    request: Request, *, body_bytes: int = BODY_BYTES, host: Host | None = None
) -> dict[str, Any] | None:
    """Return the JSON object in a request's body, or None if the body is empty, as some clients send it.

    With `host`, the request is charged as a start before its body is parsed. Raise `MessageTooLarge` or
    `InvalidStart`, and with `host` also `Unauthorized` or `RateLimited`.
    """
    body = await read_body(request, body_bytes=body_bytes)
    if host is not None:
        host.charge(len(body), secret=request.headers.get(SECRET_HEADER), address=client_address(request))
    if not body.strip():
        return None
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        problem = Problem("$", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).")
        raise InvalidStart([problem]) from None
    if not isinstance(found, dict):
        raise InvalidStart([Problem("$", 'the body must be a JSON object, as in {"config": []}.')])
    return cast("dict[str, Any]", found)
