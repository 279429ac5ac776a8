"""Map a vendor's errors to the categories of `ProviderError`.

Vendors repeat keys and messages in the text of their errors. So the text is neither kept nor logged: only the status
and the words in the tables below are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins_vendor import category_of_status

from ._json import is_object, parse

__all__ = ("categorize", "category_of", "error_in")

#: An account without credit is refused with 429 or 403, like a busy one, but waiting does not help.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

#: The values of `code` and `type`, for errors in the middle of a stream, which have no status.
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
    "session_expired": "unavailable",
}


def category_of(error: Mapping[str, Any], status: int | None = None) -> ProviderCategory:
    """Return the category of an error object, from the response's `status`, or from its own words without one."""
    words = [str(error.get(name)) for name in ("code", "type")]
    if _OUT_OF_QUOTA.intersection(words):
        return "quota"
    if status == 403 and "invalid_request_error" in words:  # Together's answer to a conversation that is too long
        return "bad-request"
    if status is not None:
        return category_of_status(status)
    if len(words[0]) == 3 and words[0].isdecimal():  # a gateway passes on the vendor's status
        return category_of_status(int(words[0]))
    known: list[ProviderCategory] = [_BY_WORD[word] for word in words if word in _BY_WORD]
    return known[0] if known else "unavailable"


def categorize(status: int, refusal: bytes) -> ProviderCategory:
    """Return the category of a refused request from its status and body."""
    return category_of(error_in(parse(refusal)) or {}, status)


def error_in(value: object) -> Mapping[str, Any] | None:
    """Return the error object of a response, a chunk or a choice; None without an error.

    Some servers send a sentence instead, and others an object that is an error as a whole.
    """
    if not is_object(value):
        return None
    error = value.get("error") or (value if value.get("object") == "error" else None)
    if not error:
        return {} if value.get("finish_reason") == "error" else None
    return error if is_object(error) else {}
