"""An HTTP client for a service: one for each live service, so that its connections are used again.

::

    async with connect_http("acme", api_key, base_url=base_url) as http:
        async with http.stream("POST", "chat", json=body) as response:
            async for event in response.events():
                yield Text(event.data)
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import orjson
from attrs import define, field, frozen

from rtvi_plugins.errors import AuthorError, ProviderCategory, ProviderError
from rtvi_plugins.security import http_url, quiet_http_clients
from rtvi_plugins.session import Secret

from ._response import VendorResponse
from ._transport import use_transports
from .failures import StatusError, category_of_status, retry_after, transport_failures

__all__ = ("Retry", "VendorHTTP", "VendorResponse", "connect_http")

log = logging.getLogger(__name__)

#: The most bytes that are read of a refusal.
_LONGEST_ERROR = 65536
#: How long to wait for them, in seconds. They come with the status, and the status is what counts.
_ERROR_SECONDS = 1.0
#: Those of httpx2, but an idle connection is kept until the next turn of a conversation, and not for 5 seconds only.
#: Many servers close one after 60 seconds, and a request that meets this fails.
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=50.0)


@frozen
class Retry:
    """When to repeat a request: the connection failed, or the vendor answered 429 or 5xx. Nothing was read by then.

    - `times`: how often to repeat it.
    - `first`: the first wait in seconds. Each further one is twice as long.
    - `longest`: the longest wait in seconds. If the vendor asks for more, the request fails at once.
    """

    times: int = 1
    first: float = 0.25
    longest: float = 2.0

    def wait(self, attempt: int, asked: float | None = None) -> float | None:
        """Return how long to wait after an attempt (the first is 0), in seconds. None if it was the last.

        `asked` is the wait that the vendor asks for.
        """
        if attempt >= self.times or (asked or 0) > self.longest:
            return None
        return asked if asked is not None else min(self.longest, self.first * 2**attempt)


def category_by_status(status: int, body: bytes) -> ProviderCategory:
    return category_of_status(status)


def _no_wait(body: bytes) -> float | None:
    return None


@define(eq=False)
class VendorHTTP:
    """An HTTP client for one vendor. Every failure is a `ProviderError`. Get one from `connect_http`."""

    provider: str
    client: httpx2.AsyncClient = field(repr=False)
    retry: Retry = field(factory=Retry)
    #: Returns the category of a refusal from its status and the start of its body.
    categorize: Callable[[int, bytes], ProviderCategory] = category_by_status
    #: Returns how long to wait in seconds, from the body of a refusal without the header `retry-after`.
    asked_wait: Callable[[bytes], float | None] = _no_wait

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        file: tuple[str, str, bytes] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[VendorResponse]:
        """Yield the response to a request. Leaving the block closes it.

        `path` is relative to the base URL. `json` is the body; None sends none. `file` has the name, the type and the
        content of a file; it is sent as the field "file" of a form, with the fields of `form`. Raise `ProviderError`
        if the vendor refuses the request, also while the block reads the response.
        """
        content = None if json is None else orjson.dumps(json)
        types = {} if content is None else {"content-type": "application/json"}

        parts = None if file is None else {"file": (file[0], file[2], file[1])}

        def make() -> httpx2.Request:
            return self.client.build_request(
                method,
                path,
                content=content,
                data=form,
                files=parts,
                params=params,
                headers={**types, **(headers or {})},
            )

        with transport_failures(self.provider):
            response = await self._open(make)
            try:
                yield response
            finally:
                await response.aclose()

    async def get(self, path: str) -> Any:
        """Return the JSON value at a path."""
        async with self.stream("GET", path) as response:
            return await response.json()

    async def post(self, path: str, json: object) -> Any:
        """Send a JSON value, and return the JSON value of the answer."""
        async with self.stream("POST", path, json=json) as response:
            return await response.json()

    async def check_key(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Get a path that is free and quick, for `check_key` of a service. Only a 401 raises `ProviderError`.

        With any other answer the key counts as valid: a 403 refuses what a key with few permissions may not read.
        """
        try:
            async with self.stream("GET", path, headers=headers):
                pass
        except StatusError as refused:
            if refused.status == 401 and refused.category == "auth":
                raise ProviderError(self.provider, "auth") from None

    async def _open(self, make: Callable[[], httpx2.Request]) -> VendorResponse:
        """Send a request until it is accepted, as often as `retry` allows."""
        attempt = 0
        while True:
            try:
                return await self._send(make())
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if (wait := self.retry.wait(attempt)) is None:
                    raise
            except StatusError as refused:
                again = refused.status == 429 or refused.status >= 500
                if not (again and refused.retryable):
                    raise
                if (wait := self.retry.wait(attempt, refused.retry_after)) is None:
                    raise
            attempt += 1
            await anyio.sleep(wait)

    async def _send(self, request: httpx2.Request) -> VendorResponse:
        response = VendorResponse(self.provider, await self.client.send(request, stream=True))
        if response.raw.is_success:
            return response
        status, refusal = response.raw.status_code, b""
        try:
            with anyio.move_on_after(_ERROR_SECONDS), suppress(httpx2.HTTPError):
                refusal = await response.read(_LONGEST_ERROR)
        finally:
            await response.aclose()
        category, wait = self.categorize(status, refusal), retry_after(response.raw.headers)
        log.debug("%s answered with status %s: %s", self.provider, status, category)
        wait = self.asked_wait(refusal) if wait is None else wait
        raise StatusError(self.provider, category, status, retry_after=wait)


# ---- connecting ------------------------------------------------------------------------------------------------------


class _Key(httpx2.Auth):
    """Adds the key to each request when it is sent, so that the client object does not contain it."""

    def __init__(self, key: Secret, header: str, scheme: str) -> None:
        self._key, self._header, self._scheme = key, header, scheme

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers[self._header] = f"{self._scheme} {self._key.reveal().strip()}".lstrip()
        yield request


@asynccontextmanager
async def connect_http(
    provider: str,
    api_key: Secret | None,
    *,
    base_url: str,
    key_header: str = "Authorization",
    key_scheme: str | None = None,
    timeout: float = 30.0,
    retry: Retry | None = None,
    categorize: Callable[[int, bytes], ProviderCategory] | None = None,
    asked_wait: Callable[[bytes], float | None] = _no_wait,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncGenerator[VendorHTTP]:
    """Yield an HTTP client for a service. Open it in the function that `@service` decorates.

    - `provider`: the name in errors.
    - `api_key`: sent in `key_header`, after the word `key_scheme`. None sends no key.
    - `key_scheme`: by default, "Bearer" in the header Authorization, and no word in another header.
    - `timeout`: how long to wait for the connection, and for each read, in seconds.
    - `retry`: when to repeat a request. By default, `Retry()`.
    - `categorize`: returns the category of a refusal from its status and body, for a vendor whose status is not enough.
    - `asked_wait`: returns how long to wait in seconds, from the body of a refusal, for a vendor without the header
      `retry-after`.
    - `transport`: replaces the network, for tests.

    Raise `ProviderError` for a key that no header can contain, and `ValueError` for a `base_url` that is not an http
    or https URL, or that contains a user name or password. Raise `AuthorError` for a `base_url` with a query, and if
    the environment variables for proxies and certificates cannot be used. Requests are not logged.
    """
    async with open_client(provider, api_key, base_url, key_header, key_scheme, timeout, transport) as client:
        yield VendorHTTP(provider, client, retry or Retry(), categorize or category_by_status, asked_wait)


def open_client(
    provider: str,
    api_key: Secret | None,
    base_url: str,
    key_header: str,
    key_scheme: str | None,
    timeout: float | None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """Return the client of a service, for HTTP and for WebSockets. See `connect_http`."""
    http_url(None, None, base_url)
    if urlsplit(base_url).query:  # httpx2 would append the paths to it
        raise AuthorError(
            f"The base URL of {provider} has a query, which is not supported. Write it without the query."
        )
    quiet_http_clients()
    auth = None if api_key is None else _auth(provider, api_key, key_header, key_scheme)
    try:
        verify = _tls() if transport is None else True
        client = httpx2.AsyncClient(
            base_url=base_url, auth=auth, timeout=timeout, transport=transport, verify=verify, limits=_LIMITS
        )
    except (ImportError, OSError, ValueError, httpx2.InvalidURL):
        raise AuthorError(_NO_CLIENT.format(provider)) from None
    use_transports(client)
    return client


def _auth(provider: str, api_key: Secret, header: str, scheme: str | None) -> _Key:
    if scheme is None:
        scheme = "Bearer" if header.lower() == "authorization" else ""
    key = api_key.reveal().strip()
    if not (key.isascii() and key.isprintable() and key) or " " in key:  # httpx2 would show it in its refusal
        raise ProviderError(provider, "auth")
    return _Key(api_key, header, scheme)


_NO_CLIENT = (
    "The HTTP client of {} cannot be made. Correct the base URL, or the environment variables HTTP_PROXY, HTTPS_PROXY, "
    "ALL_PROXY, NO_PROXY and SSL_CERT_FILE. For a SOCKS proxy, install socksio."
)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms, and every session opens its own services.
    return httpx2.create_ssl_context()
