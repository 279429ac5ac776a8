"""Start a session from an HTTP request, for this server's own routes and for those that plugins add to it.

    async def offer(request: Request) -> Response:
        started = await start_session(request, host)
        return JSONResponse({"session": f"{base_url(request)}/sessions/{started.session_id}"}, headers=PRIVATE)

What is raised here, and any other `RequestError`, is answered by the app in the form that every published client reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import orjson
from starlette.requests import Request

from rtvi_plugins.errors import InvalidStart, MessageTooLarge, Problem
from rtvi_plugins.hosting import Host, Started

from ._door import client_of
from ._gate import SECRET_HEADER

__all__ = ("BODY_BYTES", "PRIVATE", "base_url", "client_address", "read_body", "read_object", "start_session")

#: The longest body of a start that is accepted when nobody says otherwise, in bytes.
BODY_BYTES: Final = 1_048_576
#: Headers for an answer that nobody may keep: it holds what opens a session.
PRIVATE: Final[Mapping[str, str]] = {"cache-control": "no-store"}

# A body that is too long is still read to this multiple of its bound: a client that is cut off while it sends is shown
# a broken connection, not the reason.
_PATIENCE: Final = 16


async def start_session(request: Request, host: Host, *, body_bytes: int = BODY_BYTES) -> Started:
    """Open a session as the request's body and the operator's secret in its header ask.

    Raises `RequestError` if it is refused: the body is longer than `body_bytes`, is no JSON object, or asks for what
    the host does not offer, or grant.
    """
    body = await read_object(request, body_bytes=body_bytes, host=host)
    return await host.start(body, secret=request.headers.get(SECRET_HEADER), address=client_address(request))


def client_address(request: Request) -> str | None:
    """Return what is counted as the client's address, for `Host.start`; None where it is not known.

    It is the address that has connected or, where that is one of the app's `proxies`, what they say of theirs. All of
    an IPv6 network of 64 bits are one.
    """
    if request.client is None:
        return None
    return client_of(request.client.host, request.headers.getlist("x-forwarded-for"), request.app.state.proxies)


def base_url(request: Request, public_url: str | None = None) -> str:
    """The address that clients know this server under, without a slash at its end.

    `public_url`, or that of the app; without either, the address to which the request was sent.
    """
    # X-Forwarded-Proto is not asked: anybody can send it, and who has a proxy can say the public URL.
    known: str = public_url or request.app.state.public_url or str(request.base_url)
    return known.rstrip("/")


async def read_body(request: Request, *, body_bytes: int = BODY_BYTES) -> bytes:
    """The whole body of a request. `MessageTooLarge` if it is longer than `body_bytes`."""
    body, size = bytearray(), 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            if size <= body_bytes:
                body += chunk
            elif size > _PATIENCE * body_bytes:
                break
    if size > body_bytes:
        raise MessageTooLarge(f"The body is too long; at most {body_bytes} bytes are accepted.")
    return bytes(body)


async def read_object(
    request: Request, *, body_bytes: int = BODY_BYTES, host: Host | None = None
) -> dict[str, Any] | None:
    """The JSON object in a request's body; None when there is no body, which clients send that have nothing to say.

    With a host, the request is counted as a start before the body is parsed. Raises `MessageTooLarge` or
    `InvalidStart`, and with a host `Unauthorized` or `RateLimited`.
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
