"""`GoogleLLM`: a Gemini model, over the Gemini API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import orjson
from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, VendorHTTP, category_of_status, connect_http, malformed_answers

from ._answer import Answer, category_of, wait_of
from ._request import body

__all__ = ("GoogleLLM", "connect")

#: The framework asks again itself, and at once, or asks another provider.
_RETRY = Retry(times=0)


@define(eq=False)
class GoogleLLM:
    """A Gemini model. It has no state of a conversation, and can answer several at once.

    `generation` are fields of `generationConfig`, and `fields` other fields of a request, with the vendor's names.
    """

    http: VendorHTTP = field(repr=False)
    model: str = ""
    generation: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer: thoughts, text and function calls as they come, then usage.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        provider = self.http.provider
        answer, sent = Answer(provider), body(provider, request, self.generation, self.fields)
        path = f"models/{quote(self.model, safe='')}:streamGenerateContent?alt=sse"
        async with self.http.stream("POST", path, json=sent) as response:
            async for _, chunk in response.json_events():
                with malformed_answers(provider):
                    pieces = answer.take(chunk)
                for piece in pieces:
                    yield piece
            with malformed_answers(provider):
                usage = answer.end()
            yield usage

    async def check_key(self) -> None:
        """Raise `ProviderError` if the vendor does not know the key, which it answers with 400."""
        try:
            await self.http.get("models?pageSize=1")
        except ProviderError as failed:
            if failed.category == "auth" and getattr(failed, "status", 0) != 403:
                raise ProviderError(self.http.provider, "auth") from None

    async def list_models(self) -> list[str]:
        """Return the names of the models that can answer, sorted. Raise `ProviderError` if the vendor fails."""
        found = await self.http.get("models?pageSize=1000")
        with malformed_answers(self.http.provider):
            models = [each for each in found["models"] if "generateContent" in each["supportedGenerationMethods"]]
            return sorted(each["name"].removeprefix("models/") for each in models)


_MALFORMED = (ValueError, LookupError, TypeError, AttributeError)


def _categorize(status: int, refusal: bytes) -> ProviderCategory:
    try:
        return category_of(status, _error_in(refusal))
    except _MALFORMED:
        return category_of_status(status)


def _asked_wait(refusal: bytes) -> float | None:
    try:
        return wait_of(_error_in(refusal))
    except _MALFORMED:
        return None


def _error_in(refusal: bytes) -> Any:
    found: Any = orjson.loads(refusal)
    return (found[0] if refusal.lstrip().startswith(b"[") else found)["error"]


@asynccontextmanager
async def connect(
    api_key: Secret,
    *,
    base_url: str = "https://generativelanguage.googleapis.com/v1",
    timeout: float = 30.0,
) -> AsyncGenerator[GoogleLLM]:
    """Yield a model at `base_url`. `timeout` limits the wait for each piece of an answer, in seconds.

    Raise `ProviderError` for an impossible key, and `ValueError` for an invalid `base_url`.
    """
    async with connect_http(
        "google",
        api_key,
        base_url=base_url,
        key_header="x-goog-api-key",
        timeout=timeout,
        categorize=_categorize,
        asked_wait=_asked_wait,
        retry=_RETRY,
    ) as http:
        yield GoogleLLM(http)
