"""Start a session over HTTP, then connect to the WebSocket that the response names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
import httpx2
from anyio.abc import TaskStatus
from httpx2.websockets import AsyncWebSocketClient, AsyncWebSocketSession, HTTPXWSException, WebSocketUpgradeError

from rtvi_plugins.client import Client, InvalidAnswer, NoAnswer, open_client
from rtvi_plugins.errors import RequestError
from rtvi_plugins.session import Secret

from ._stream import SocketStream

__all__ = ("Unreachable", "connect")

_SECRET_HEADER = "x-rtvi-operator-secret"
#: The statuses with which a proxy says that it has no server now: too many requests, and 502 to 504.
_RETRYABLE = (429, 502, 503, 504)

#: The longest message that is accepted, in bytes. The library's default is too small for the descriptions of a bot.
_MESSAGE_BYTES = 16 * 1024 * 1024

#: How long each attempt to resume a session may take, in seconds.
_RESUME_SECONDS = 3.0


class Unreachable(RequestError):
    """There is no server at the URL, or it does not speak RTVI."""

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
    resume: bool = True,
    resume_delay: float = 2.0,
) -> AsyncGenerator[Client]:
    """Start a session with the bot at a server's base URL, and yield a client that is connected to it.

    `services` and `config` choose providers and options, `request` holds other fields of the start, and `secret` is the
    operator's. `timeout` is how long the start, and then each request, waits for its response, in seconds. `http` is an
    HTTP client to use; it is not closed.

    If the connection is lost and the server saves sessions, the session is resumed, after a random delay of at most
    `resume_delay` seconds. Without `resume`, it ends.

    Raise the `RequestError` of the server's code if the start is refused, `NoAnswer` if the server does not respond,
    `Unreachable` if there is no server, and `TypeError` for a secret that is not a `Secret`. Exceptions from the body
    of the block are raised unchanged.
    """
    if not _is_secret(secret):
        raise TypeError("Write secret=Secret(…), with `from rtvi_plugins import Secret`, so that it is never printed.")
    failed: Exception | None = None
    async with AsyncExitStack() as stack:
        through = await stack.enter_async_context(httpx2.AsyncClient()) if http is None else http
        body = {**(request or {}), **_without_none(services=services, config=config)}
        tasks = await stack.enter_async_context(anyio.create_task_group())

        async def reconnect(token: str) -> SocketStream:
            # The server may be dead and not refuse the connection.
            patience = min(timeout, _RESUME_SECONDS)
            address = await _start(through, url, {"resume": token}, secret, patience)
            found: SocketStream = await tasks.start(_keep, through, address, patience)
            return found

        try:
            address = await _start(through, url, body, secret, timeout)
            stream: SocketStream = await tasks.start(_keep, through, address, timeout)
            back = reconnect if resume else None
            connecting = open_client(stream, version=version, timeout=timeout, reconnect=back, delay=resume_delay)
            async with connecting as client:
                yield client
        except Exception as error:  # the task group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


def _is_secret(given: object) -> bool:
    return given is None or isinstance(given, Secret)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# ---- the start -----------------------------------------------------------------------------------------------------


async def _start(
    http: httpx2.AsyncClient, url: str, body: Mapping[str, Any], secret: Secret | None, timeout: float
) -> httpx2.URL:
    """Start a session, and return the URL of its WebSocket, with its token."""
    headers = {} if secret is None else {_SECRET_HEADER: secret.reveal()}
    try:
        answer = await http.post(f"{url.rstrip('/')}/start", json=body, headers=headers, timeout=timeout)
        # To the worker that has the session. Another server would get the secret.
        if (elsewhere := answer.next_request) is not None and _origin(elsewhere.url) == _origin(answer.request.url):
            answer = await http.send(elsewhere)
    except httpx2.TimeoutException:
        raise NoAnswer(f"The server at {url} did not answer the start within {timeout:g} s.") from None
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        text = f"No server can be reached at {url}: {_reason(error)}. Check the address, and whether the server runs."
        raise Unreachable(text) from None
    found = _read(answer)
    if not answer.is_success:
        raise _refusal(found, answer.status_code)
    try:
        return httpx2.URL(found["wsUrl"]).copy_merge_params({"token": found["token"]})
    except (KeyError, TypeError, httpx2.InvalidURL):
        raise InvalidAnswer(f"The server at {url} answered the start with something else than a session.") from None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _read(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        body: Any = answer.json()
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}


def _refusal(body: Mapping[str, Any], status: int) -> RequestError:
    """Return the error of a refused start. Over HTTP, `error` is the code; in a session, it is the sentence."""
    if "error" not in body:  # a proxy answered in the place of the server
        sentence = body.get("detail") or f"The server refused the start: HTTP {status}."
        return RequestError.from_json({"error": sentence, "retryable": status in _RETRYABLE})
    sentence = body.get("info") or f"The server refused the start: HTTP {status}."
    return RequestError.from_json({**body, "error": sentence, "code": body["error"]})


# ---- the WebSocket -------------------------------------------------------------------------------------------------


async def _keep(
    http: httpx2.AsyncClient, address: httpx2.URL, timeout: float, *, task_status: TaskStatus[SocketStream]
) -> None:
    """Keep a WebSocket open until it is over. Its context must be left by the task that has entered it."""
    async with AsyncExitStack() as stack:
        stream = SocketStream(await _open(stack, http, address, timeout))
        task_status.started(stream)
        try:
            await stream.watch()
            await stream.over.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()


async def _open(
    stack: AsyncExitStack, http: httpx2.AsyncClient, address: httpx2.URL, timeout: float
) -> AsyncWebSocketSession:
    # No pings from here: the library would raise in its own task if one is lost. It answers those of the server.
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
