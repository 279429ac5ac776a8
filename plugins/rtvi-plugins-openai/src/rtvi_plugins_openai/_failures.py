"""What a vendor's refusals and broken connections mean: one of the categories of `ProviderError`.

Vendors repeat keys and messages in the text of their errors, so nothing of it is kept or logged: only the status and
the words from the tables below decide.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from rtvi_plugins.errors import ProviderCategory, ProviderError

from ._json import is_object

__all__ = ("category_of", "error_in", "transport_failures")

_BY_STATUS: Mapping[int, ProviderCategory] = {401: "auth", 402: "quota", 403: "auth", 408: "timeout", 429: "rate"}

#: An account without money is refused with 429 or 403, and no waiting helps. The word tells it from a busy one.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

#: For errors in the middle of a stream, whose status was sent long before: the values of `code` and `type`.
_BY_WORD: Mapping[str, ProviderCategory] = {
    "authentication_error": "auth",
    "invalid_api_key": "auth",
    "permission_error": "auth",
    "rate_limit_error": "rate",
    "rate_limit_exceeded": "rate",
    "requests": "rate",
    "tokens": "rate",
    "request_timeout": "timeout",
    "timeout": "timeout",
    "context_length_exceeded": "bad-request",
    "invalid_request_error": "bad-request",
    "model_not_found": "bad-request",
}


def category_of(error: Mapping[str, Any], status: int | None = None) -> ProviderCategory:
    """The category of an error object. `status` is the response's; without one the object's own words decide."""
    words = [str(error.get(name)) for name in ("code", "type")]
    if _OUT_OF_QUOTA.intersection(words):
        return "quota"
    if status == 403 and "invalid_request_error" in words:  # Together's answer to a conversation that is too long
        return "bad-request"
    if status is not None:
        return _by_status(status)
    if len(words[0]) == 3 and words[0].isdecimal():  # a gateway passes on the status that it was given
        return _by_status(int(words[0]))
    known: list[ProviderCategory] = [_BY_WORD[word] for word in words if word in _BY_WORD]
    return known[0] if known else "unavailable"


def _by_status(status: int) -> ProviderCategory:
    return _BY_STATUS.get(status, "unavailable" if status >= 500 else "bad-request")


def error_in(value: object) -> Mapping[str, Any] | None:
    """The error object of a response, a chunk or a choice, if it is one.

    Some servers send a sentence in its place, others an object that is an error as a whole.
    """
    if not is_object(value):
        return None
    error = value.get("error") or (value if value.get("object") == "error" else None)
    if not error:
        return {} if value.get("finish_reason") == "error" else None
    return error if is_object(error) else {}


@contextmanager
def transport_failures(provider: str) -> Generator[None]:
    """Turn what can go wrong on the way to a vendor into `ProviderError`."""
    try:
        yield
    except httpx2.TimeoutException:
        raise ProviderError(provider, "timeout") from None
    except (httpx2.HTTPError, httpx2.StreamError):
        raise ProviderError(provider, "unavailable") from None
