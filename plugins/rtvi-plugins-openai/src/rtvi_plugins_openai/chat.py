"""`OpenAILLM`: a chat model with OpenAI's API, which OpenAI, Together and many other servers offer."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, VendorHTTP, connect_http, key_check

from ._answer import Answer
from ._failures import categorize
from ._json import array, is_object, object_of, text
from ._request import body

__all__ = ("OpenAILLM", "connect")

#: OpenAI's own server. It accepts the roles of messages in any order.
_OPENAI = "api.openai.com"
#: The types of models in Together's list that can chat. OpenAI's list has no types.
_ANSWERING = ("", "chat")
#: OpenAI's models that think unless they are told not to. With functions, this API refuses them if they think.
_THINKING = re.compile(r"gpt-(5\.[5-9]|[6-9])(?!.*pro)")
#: The framework asks again itself, and at once, or asks another provider.
_RETRY = Retry(times=0)


@define(eq=False)
class OpenAILLM:
    """A chat model with OpenAI's API. It has no state of a conversation, and can answer several at once.

    `provider` is its name in errors. A `model` of None is the first one that the server lists. `fields` are other
    fields of a request, with the vendor's names; None is not sent.
    """

    http: VendorHTTP = field(repr=False)
    provider: str = "openai"
    model: str | None = ""
    fields: Mapping[str, Any] = {}
    #: The vendor's name of the field for the longest answer.
    max_tokens_field: str = "max_completion_tokens"
    #: Whether to send messages whose roles alternate, which some servers require.
    alternate_roles: bool = False
    #: How much the model thinks. None: not at all if it is a model of OpenAI that can answer without, else as it does.
    reasoning_effort: str | None = None
    _first: str | None = field(default=None, init=False)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer: text as it comes, then function calls, then usage.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        answer, model = Answer(self.provider), await self._first_model() if self.model is None else self.model
        effort = self.reasoning_effort or ("none" if _THINKING.match(model) else None)
        fields = {"reasoning_effort": effort, **self.fields}
        sent = body(self.provider, request, model, fields, alternate=self.alternate_roles)
        async with self.http.stream("POST", "chat/completions", json=sent, headers=_STREAM) as response:
            if response.is_json:
                for said in answer.take_whole(await response.read()):
                    yield said
            else:
                async for event in response.events():
                    for said in answer.take(event.data):
                        yield said
                    if answer.done:
                        break
            for piece in answer.end():
                yield piece
            await response.finish()

    check_key = key_check("models")

    async def list_models(self) -> list[str]:
        """Return the names of the models that this key may use, sorted. Raise `ProviderError` if the vendor fails."""
        return sorted({*await self._models()})

    async def _models(self) -> list[str]:
        found = await self.http.get("models")
        models = array(found.get("data") if is_object(found) else found)  # Together sends a bare array
        listed = [object_of(each) for each in models]
        return [name for each in listed if text(each.get("type")) in _ANSWERING and (name := text(each.get("id")))]

    async def _first_model(self) -> str:
        """Return the first model of the server's list. It is asked for only once."""
        if self._first is None:
            if not (models := await self._models()):
                raise ProviderError(self.provider, "bad-request")
            self._first = models[0]
        return self._first


_STREAM = {"accept": "text/event-stream"}


# ---- connecting ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connect(
    provider: str,
    api_key: Secret | None,
    *,
    base_url: str,
    timeout: float = 30.0,
    alternate_roles: bool | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncGenerator[OpenAILLM]:
    """Yield a model at `base_url`, which ends with the API's version, as in `https://api.openai.com/v1`.

    - `api_key`: None for a server that needs no key.
    - `timeout`: how long to wait for the connection, and for each piece of an answer, in seconds.
    - `alternate_roles`: whether to join messages so that user and assistant alternate. By default, for every server
      except OpenAI's own.
    - `transport`: replaces the network, for tests.

    Raise `ProviderError` for an impossible key, and `ValueError` for a `base_url` that is not an http or https URL, or
    that contains a user name or password.
    """
    async with connect_http(
        provider, api_key, base_url=base_url, timeout=timeout, categorize=categorize, retry=_RETRY, transport=transport
    ) as http:
        if alternate_roles is None:
            alternate_roles = http.client.base_url.host != _OPENAI
        yield OpenAILLM(http, provider, alternate_roles=alternate_roles)
