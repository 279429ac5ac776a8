"""What the server answers to a request that it refuses. Most refusals need no app, so nothing of Starlette is here."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson

from rtvi_plugins.errors import RequestError

__all__ = ("refusal", "refusal_body", "refusal_with")


def refusal_body(sentence: str, code: str, *, retryable: bool, details: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the body of the response, before it is written as JSON."""
    # 0.1 shows `info` and `error`; later clients `info`, or else `detail`, which must be text to be readable.
    return {"info": sentence, "detail": sentence, "error": code, "retryable": retryable, "details": list(details)}


def refusal(error: RequestError) -> bytes:
    """Return the whole HTTP response for an error, after which the connection is closed."""
    return refusal_with(
        error.status, error.message, error.code, retryable=error.retryable, retry_after=error.retry_after
    )


def refusal_with(status: int, sentence: str, code: str, *, retryable: bool, retry_after: int | None) -> bytes:
    """Return the whole HTTP response for a refusal that is not a `RequestError`. `retry_after` is in seconds."""
    body = orjson.dumps(refusal_body(sentence, code, retryable=retryable))
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
    wait = "" if retry_after is None else f"retry-after: {retry_after}\r\n"
    return f"{head}{wait}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
