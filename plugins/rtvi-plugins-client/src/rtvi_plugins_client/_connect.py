"""Start a session over HTTP, then hold it over the WebSocket that the start told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx2
from httpx2.websockets import AsyncWebSocketClient, AsyncWebSocketSession, HTTPXWSException, WebSocketUpgradeError

from rtvi_plugins.client import Client, InvalidAnswer, NoAnswer, open_client
from rtvi_plugins.errors import RequestError
from rtvi_plugins.session import Secret

from ._stream import SocketStream

__all__ = ("Unreachable", "connect")

_SECRET_HEADER = "x-rtvi-operator-secret"

#: The longest message that is taken, in bytes; the library's own bound is below what a described bot needs.
_MESSAGE_BYTES = 16 * 1024 * 1024


class Unreachable(RequestError):
    """There is no server at the URL, or none that can be understood."""

    code = "unreachable"
    status = 502
    retryable = True


@asynccontextmanager
async def connect(
    url: str,
    *,
    services: Mapping[str, str] | None = None,
    config: Mapping[str, Mapping[str, Any]] | Sequence[Any] | None = None,
    secret: Secret | None = None,
    request: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    version: str = "2.1.0",
    http: httpx2.AsyncClient | None = None,
) -> AsyncGenerator[Client]:
    """Start a session with the bot at a server's base URL, and connect a client to it.

    `services` and `config` are the client's words, `request` whatever else the start is to carry, `secret` the
    operator's. `timeout` in seconds is how long the start, and then each request, waits for its answer. `http` is a
    client of your own to go through; it is not closed.

    Raises the `RequestError` of the server's code when the start is refused, `NoAnswer` when it is not answered, and
    `Unreachable` when there is no such server. What is raised inside comes out as it is.
    """
    failed: Exception | None = None
    async with AsyncExitStack() as stack:
        through = await stack.enter_async_context(httpx2.AsyncClient()) if http is None else http
        body = {**(request or {}), **_given(services=services, config=config)}
        address = await _start(through, url, body, secret, timeout)
        socket = await _open(stack, through, address, timeout)
        try:
            async with open_client(SocketStream(socket), version=version, timeout=timeout) as client:
                yield client
        except Exception as error:  # kept from the socket's task group, which would wrap it
            failed = error
    if failed is not None:
        raise failed


def _given(**words: Any) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


# ---- the start -----------------------------------------------------------------------------------------------------


async def _start(
    http: httpx2.AsyncClient, url: str, body: Mapping[str, Any], secret: Secret | None, timeout: float
) -> httpx2.URL:
    """The address of the session's WebSocket, with its token."""
    headers = {} if secret is None else {_SECRET_HEADER: secret.reveal()}
    try:
        answer = await http.post(f"{url.rstrip('/')}/start", json=body, headers=headers, timeout=timeout)
    except httpx2.TimeoutException:
        raise NoAnswer(f"The server at {url} did not answer the start within {timeout:g} s.") from None
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise Unreachable(f"No server can be reached at {url}: {_reason(error)}.") from None
    told = _read(answer)
    if not answer.is_success:
        raise _refusal(told, answer.status_code)
    try:
        return httpx2.URL(told["wsUrl"]).copy_merge_params({"token": told["token"]})
    except (KeyError, TypeError, httpx2.InvalidURL):
        raise InvalidAnswer(f"The server at {url} answered the start with something else than a session.") from None


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _read(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        told: Any = answer.json()
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", told) if isinstance(told, dict) else {}


def _refusal(told: Mapping[str, Any], status: int) -> RequestError:
    """The error of a refused start. Over HTTP `error` is the code, where it is the sentence in a session."""
    sentence = told.get("info") or told.get("detail") or f"The server refused the start: HTTP {status}."
    return RequestError.from_json({**told, "error": sentence, "code": told.get("error")})


# ---- the WebSocket -------------------------------------------------------------------------------------------------


async def _open(
    stack: AsyncExitStack, http: httpx2.AsyncClient, address: httpx2.URL, timeout: float
) -> AsyncWebSocketSession:
    # No pings of ours: one that is lost would be raised in the library's own task. The server's are answered.
    sockets = AsyncWebSocketClient(http, max_message_size_bytes=_MESSAGE_BYTES, keepalive_ping_interval_seconds=None)
    try:
        return await stack.enter_async_context(sockets.connect(str(address), timeout=timeout))
    except WebSocketUpgradeError as error:
        raise Unreachable(f"The server refused the WebSocket: HTTP {error.response.status_code}.") from None
    except HTTPXWSException as error:
        raise Unreachable(f"The server refused the WebSocket: {_reason(error)}.") from None
    except httpx2.TimeoutException:
        raise NoAnswer(f"The server did not open the WebSocket within {timeout:g} s.") from None
    except httpx2.TransportError as error:
        raise Unreachable(f"The WebSocket of {address.host} cannot be reached: {_reason(error)}.") from None
