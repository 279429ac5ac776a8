"""Map a vendor's status codes and broken connections to the categories of `ProviderError`.

Vendors repeat keys and messages in the text of their errors. So no error of this module contains that text.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
from attrs import define

from rtvi_plugins.errors import ProviderCategory, ProviderError

__all__ = (
    "StatusError",
    "category_of_close",
    "category_of_status",
    "malformed_answers",
    "retry_after",
    "transport_failures",
)

_BY_STATUS: Mapping[int, ProviderCategory] = {401: "auth", 402: "quota", 403: "auth", 408: "timeout", 429: "rate"}

#: The close codes of RFC 6455 and of the IANA registry that do not mean that the vendor is unavailable.
_BY_CLOSE: Mapping[int, ProviderCategory] = {
    1002: "bad-request",
    1003: "bad-request",
    1007: "bad-request",
    1008: "bad-request",
    1009: "bad-request",
    3000: "auth",
    3003: "auth",
    3008: "timeout",
}
#: A normal end. 1005 stands for a close frame without a code.
_NORMAL_CLOSES = (1000, 1005)
#: Many vendors add 4000 to the HTTP status, as in 4429.
_CLOSES_LIKE_STATUS = range(4400, 4600)


class StatusError(ProviderError):
    """A vendor refused a request. `status` is the HTTP status."""

    def __init__(
        self, provider: str, category: ProviderCategory, status: int, *, retry_after: float | None = None
    ) -> None:
        super().__init__(provider, category, retry_after=retry_after)
        self.status = status


def category_of_status(status: int) -> ProviderCategory:
    """Return the category of an HTTP status that refuses a request. A redirect means that the base URL is wrong.

    A success refuses a WebSocket: a page answers in place of the vendor, as during maintenance.
    """
    return _BY_STATUS.get(status, "bad-request" if 300 <= status < 500 else "unavailable")


def category_of_close(code: int) -> ProviderCategory | None:
    """Return the category of a WebSocket close code. Return None for a normal end."""
    if code in _NORMAL_CLOSES:
        return None
    return category_of_status(code - 4000) if code in _CLOSES_LIKE_STATUS else _BY_CLOSE.get(code, "unavailable")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in the header `retry-after`, which may be a number or a date. None without a valid one.

    `retry-after-ms` is more exact, and some vendors send it alone.
    """
    value = headers.get("retry-after", "")
    for found, unit in ((headers.get("retry-after-ms", ""), 0.001), (value, 1.0)):
        with suppress(ValueError):
            if math.isfinite(seconds := float(found) * unit):
                return max(0.0, seconds)
    seconds = _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        until = parsedate_to_datetime(date).astimezone(UTC)
    except (ValueError, OverflowError):  # such as the last day of the year 9999, elsewhere
        return math.nan
    return (until - datetime.now(UTC)).total_seconds()


@contextmanager
def transport_failures(provider: str) -> Generator[None]:
    """Raise `ProviderError` for failures of the connection to a vendor: `timeout` or `unavailable`.

    A URL that is too long is a `bad-request`, as if the vendor had refused it: clients may choose what is in it.
    """
    try:
        yield
    except httpx2.InvalidURL:
        raise ProviderError(provider, "bad-request") from None
    except httpx2.TimeoutException:
        raise ProviderError(provider, "timeout") from None
    except (httpx2.HTTPError, httpx2.StreamError):
        raise ProviderError(provider, "unavailable") from None


_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


def malformed_answers(provider: str) -> AbstractContextManager[None]:
    """Raise `ProviderError` for an answer that the block cannot read: no JSON, or JSON of another form than expected.

    Do not yield inside of the block: an exception of the reader would be taken for one of the vendor.
    """
    return _MalformedAnswers(provider)


@define(eq=False)
class _MalformedAnswers(AbstractContextManager[None]):
    """It is entered for each message, and a generator would take several times as long."""

    provider: str

    def __exit__(self, type: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _MALFORMED):
            raise ProviderError(self.provider, "unavailable") from None
