"""`OpenAILLM`: a chat model with OpenAI's API, which OpenAI, Together and many other servers offer."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from typing import Any

import anyio
import httpx2
import orjson
from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest
from rtvi_plugins.security import http_url, quiet_http_clients
from rtvi_plugins.session import Secret

from ._answer import Answer
from ._failures import category_of, error_in, transport_failures
from ._json import array, is_object, object_of, parse, text
from ._request import body

__all__ = ("OpenAILLM", "connect")

log = logging.getLogger(__name__)

#: How long to wait for the end of a response, after which its connection can be used again.
_END_OF_RESPONSE_SECONDS = 0.5
#: The most bytes that are read of an error, and of an answer that is not streamed.
_LONGEST_ERROR = 65536
_LONGEST_ANSWER = 4 * 1024 * 1024
#: OpenAI's own server. It accepts the roles of messages in any order.
_OPENAI = "api.openai.com"
#: The types of models in Together's list that can chat. OpenAI's list has no types.
_ANSWERING = ("", "chat")


@define(eq=False)
class OpenAILLM:
    """A chat model with OpenAI's API. It has no state of a conversation, and can answer several at once.

    `provider` is its name in errors. `fields` are other fields of a request, with the vendor's names; None is not sent.
    """

    http: httpx2.AsyncClient = field(repr=False)
    provider: str = "openai"
    model: str = ""
    fields: Mapping[str, Any] = {}
    #: The vendor's name of the field for the longest answer.
    max_tokens_field: str = "max_completion_tokens"
    #: Whether to send messages whose roles alternate, which some servers require.
    alternate_roles: bool = False

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer: text as it comes, then function calls, then usage.

        Raises `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        answer = Answer(self.provider)
        content = orjson.dumps(body(request, self.model, self.fields, alternate=self.alternate_roles))
        with transport_failures(self.provider):
            async with self.http.stream("POST", "chat/completions", content=content, headers=_STREAM) as response:
                await self._refuse(response)
                if _is_json(response):
                    for said in answer.take_whole(await _start_of(response, _LONGEST_ANSWER)):
                        yield said
                    for piece in answer.end():
                        yield piece
                    return
                async with _events(response) as events:
                    async for event in events:
                        for said in answer.take(event.data):
                            yield said
                        if answer.done:
                            break
                    for piece in answer.end():
                        yield piece
                    await _read_to_end(events)

    async def list_models(self) -> list[str]:
        """Return the names of the models that this key may use, sorted. Raise `ProviderError` if the vendor fails."""
        with transport_failures(self.provider):
            async with self.http.stream("GET", "models") as response:
                await self._refuse(response)
                found = parse(await response.aread())
        models = array(found.get("data") if is_object(found) else found)  # Together sends a bare array
        listed = [object_of(each) for each in models]
        return sorted({text(each.get("id")) for each in listed if text(each.get("type")) in _ANSWERING} - {""})

    async def _refuse(self, response: httpx2.Response) -> None:
        """Raise `ProviderError` for a response that is not a success."""
        if response.is_success:
            return
        category = category_of(error_in(parse(await _start_of(response, _LONGEST_ERROR))) or {}, response.status_code)
        log.debug("%s answered with status %s: %s", self.provider, response.status_code, category)
        raise ProviderError(self.provider, category)


_STREAM = {"content-type": "application/json", "accept": "text/event-stream"}


@asynccontextmanager
async def _events(response: httpx2.Response) -> AsyncGenerator[AsyncIterator[httpx2.ServerSentEvent]]:
    """Yield the events of a response. Leaving early closes the connection."""
    events = aiter(httpx2.EventSource(response))
    try:
        yield events
    finally:
        await response.aclose()
        # httpx2 leaves its inner iterators to the garbage collector, and trio warns about that. On a closed response
        # they end.
        with suppress(httpx2.HTTPError, httpx2.StreamError):
            async for _ in events:
                pass


async def _read_to_end(events: AsyncIterator[httpx2.ServerSentEvent]) -> None:
    """Read to the end of the response, so that the next request can use the connection."""
    with anyio.move_on_after(_END_OF_RESPONSE_SECONDS), suppress(httpx2.HTTPError):
        async for _ in events:
            pass


def _is_json(response: httpx2.Response) -> bool:
    """Return whether a server answers with one JSON object instead of a stream."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _start_of(response: httpx2.Response, longest: int) -> bytes:
    read = bytearray()
    async with aclosing(response.aiter_bytes()) as parts:
        async for part in parts:
            read += part
            if len(read) >= longest:
                break
    return bytes(read)


# ---- connecting ------------------------------------------------------------------------------------------------------


class _Bearer(httpx2.Auth):
    """Adds the key to each request when it is sent, so that the client object does not contain it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.reveal().strip()}"
        yield request


@asynccontextmanager
async def connect(
    provider: str,
    api_key: Secret,
    *,
    base_url: str,
    timeout: float = 30.0,
    alternate_roles: bool | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncGenerator[OpenAILLM]:
    """Yield a model at `base_url`, which ends with the API's version, as in `https://api.openai.com/v1`.

    - `timeout`: how long to wait for the connection, and for each piece of an answer, in seconds.
    - `alternate_roles`: whether to join messages so that user and assistant alternate. None does it for every server
      except OpenAI's own.
    - `transport`: replaces the network, for tests.

    Raises `ProviderError` for an impossible key, and `ValueError` for a `base_url` that is not an http or https URL, or
    that contains a user name or password.
    """
    http_url(None, None, base_url)
    quiet_http_clients()
    key = api_key.reveal().strip()
    if not (key.isascii() and key.isprintable() and key) or " " in key:  # httpx2 would show it in its refusal
        raise ProviderError(provider, "auth")
    verify = _tls() if transport is None else True
    auth = _Bearer(api_key)
    async with httpx2.AsyncClient(
        base_url=base_url, auth=auth, timeout=timeout, transport=transport, verify=verify
    ) as http:
        if alternate_roles is None:
            alternate_roles = http.base_url.host != _OPENAI
        yield OpenAILLM(http, provider, alternate_roles=alternate_roles)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms, and every session opens its own services.
    return httpx2.create_ssl_context()
