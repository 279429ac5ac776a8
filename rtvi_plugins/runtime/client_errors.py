"""Turn an exception of a plugin or a bot into an error that a client may read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from attrs import evolve

from ..errors import ProviderError, ProviderFailed, RequestError
from ..protocol.codec import encode_json
from ..utils.error_texts import shorten_middle
from ..utils.json_values import json_problem
from ..utils.secrets import scrub

__all__ = ("as_request_error", "error_json", "with_texts")

log = logging.getLogger("rtvi_plugins")

#: The most characters of a sentence that are sent to a client. It may quote a client's own words.
_MAX_SENTENCE: Final = 4_000


def as_request_error(error: BaseException) -> RequestError | None:
    """Return the error for the client, without secrets; None if its author did not raise it for the client.

    A `RequestError` is meant for clients. A `ProviderError` becomes a `ProviderFailed`. Authors quote vendors in both,
    so secrets are removed. If a subclass broke a field or a method, only its sentence is kept.
    """
    found: RequestError | None = None
    try:
        if isinstance(error, ProviderError):
            found = ProviderFailed(str(error), retryable=error.retryable)
            found.provider, found.category, found.is_logged = error.provider, error.category, error.is_logged
        elif isinstance(error, RequestError):
            found = error
        found = found and with_texts(found, _safe)
        if found is None or json_problem(found.to_json()) is None:
            return found
    except Exception as failure:
        log.error("%s cannot be sent: it raised %s", type(error).__name__, type(failure).__name__)
    sentence: object = found.message if found is not None else None
    return RequestError(_safe(sentence)) if isinstance(sentence, str) else None


def error_json(error: RequestError, longest: int) -> dict[str, Any]:
    """Return an error as JSON of at most this many characters.

    If it is longer, or if JSON cannot carry a field of a subclass, return its sentence alone.
    """
    form = error.to_json()
    try:
        if len(encode_json(form)) <= longest:
            return form
    except TypeError:
        pass
    return RequestError(_safe(str(error.message), longest)).to_json()


def with_texts(error: RequestError, change: Callable[[str], str]) -> RequestError:
    """Return the error with its message and its problems' messages changed; the same object if nothing changes."""
    message = change(error.message)
    problems = [evolve(each, message=change(each.message)) for each in error.problems]
    if message == error.message and problems == list(error.problems):
        return error
    changed = RequestError.__new__(type(error))  # its own `__init__` may take anything
    vars(changed).update(vars(error))
    changed.args, changed.message, changed.problems = (message,), message, tuple(problems)
    return changed


def _safe(text: str, longest: int = _MAX_SENTENCE) -> str:
    return scrub(shorten_middle(text, min(longest, _MAX_SENTENCE)))
