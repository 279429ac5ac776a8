"""`AnthropicLLM`: a Claude model, over Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, VendorHTTP, category_of_status, connect_http, key_check, malformed_answers

from ._answer import Answer, category_of
from ._request import body

__all__ = ("AnthropicLLM", "connect")

#: The version of the API whose wire this module speaks. It has no sampling parameters.
_VERSION = "2026-10-21"
_STREAM = {"accept": "text/event-stream"}
#: The framework asks again itself, and at once, or asks another provider.
_RETRY = Retry(times=0)


@define(eq=False)
class AnthropicLLM:
    """A Claude model. It has no state of a conversation, and can answer several at once.

    `fields` are other fields of a request, with the vendor's names; None is not sent.
    """

    http: VendorHTTP = field(repr=False)
    model: str = ""
    fields: Mapping[str, Any] = {}

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer: thoughts and text as they come, function calls as soon as they are whole, then usage.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        provider = self.http.provider
        sent, after = body(provider, request, self.model, self.fields)
        answer = Answer(provider, after)
        async with self.http.stream("POST", "messages", json=sent, headers=_STREAM) as response:
            async for _, event in response.json_events():
                with malformed_answers(provider):
                    pieces = answer.take(event)
                for piece in pieces:
                    yield piece
                if answer.done:
                    break
            else:
                raise ProviderError(provider, "unavailable")  # the connection was cut
            await response.finish()

    check_key = key_check("models")

    async def list_models(self) -> list[str]:
        """Return the names of the models that this key may use, sorted. Raise `ProviderError` if the vendor fails."""
        found = await self.http.get("models?limit=1000")
        with malformed_answers(self.http.provider):
            return sorted(each["id"] for each in found["data"])


def _categorize(status: int, refusal: bytes) -> ProviderCategory:
    try:
        return category_of(orjson.loads(refusal)["error"]) or category_of_status(status)
    except (ValueError, LookupError, TypeError, AttributeError):
        return category_of_status(status)


@asynccontextmanager
async def connect(
    api_key: Secret, *, base_url: str = "https://api.anthropic.com/v1", timeout: float = 30.0
) -> AsyncGenerator[AnthropicLLM]:
    """Yield a model at `base_url`. `timeout` limits the wait for each piece of an answer, in seconds.

    Raise `ProviderError` for an impossible key, and `ValueError` for an invalid `base_url`.
    """
    async with connect_http(
        "anthropic", api_key, base_url=base_url, timeout=timeout, categorize=_categorize, retry=_RETRY
    ) as http:
        http.client.headers["anthropic-version"] = _VERSION
        yield AnthropicLLM(http)
