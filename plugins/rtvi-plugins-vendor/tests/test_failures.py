"""The categories of a vendor's failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from rtvi_plugins.errors import ProviderError
from rtvi_plugins_vendor import (
    StatusError,
    category_of_close,
    category_of_status,
    malformed_answers,
    retry_after,
    transport_failures,
)


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (200, "unavailable"),
        (302, "bad-request"),
        (400, "bad-request"),
        (401, "auth"),
        (402, "quota"),
        (403, "auth"),
        (408, "timeout"),
        (422, "bad-request"),
        (429, "rate"),
        (500, "unavailable"),
        (529, "unavailable"),
    ],
)
def test_a_status_has_a_category(status: int, category: str) -> None:
    """A redirect counts as a wrong URL. A success does not open a WebSocket: a page answers in place of the vendor."""
    assert category_of_status(status) == category


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (1000, None),
        (1005, None),
        (1001, "unavailable"),
        (1006, "unavailable"),
        (1008, "bad-request"),
        (1011, "unavailable"),
        (3000, "auth"),
        (3008, "timeout"),
        (4001, "unavailable"),
        (4401, "auth"),
        (4429, "rate"),
        (4503, "unavailable"),
    ],
)
def test_a_close_code_has_a_category(code: int, category: str | None) -> None:
    """Only a normal end is not a failure."""
    assert category_of_close(code) == category


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("3", 3), ("0.5", 0.5), ("-1", 0), ("soon", None), ("nan", None), ("inf", None), ("", None)],
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
    ],
)
def test_the_seconds_to_wait(value: str, seconds: float | None) -> None:
    """A value that is neither a number nor a date counts as absent."""
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "-5"}, 0.0),
    ],
)
def test_the_milliseconds_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """OpenAI's and Anthropic's SDKs read this header first."""
    assert retry_after(headers) == seconds


def test_the_date_to_wait_for() -> None:
    """A date becomes seconds from now; a past one means now."""
    assert retry_after({}) is None
    now = datetime.now(UTC)
    later = retry_after({"retry-after": format_datetime(now + timedelta(minutes=5), usegmt=True)})
    assert later is not None
    assert 200 < later <= 300
    assert retry_after({"retry-after": format_datetime(now - timedelta(minutes=5), usegmt=True)}) == 0


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (httpx2.ReadTimeout("secret"), "timeout"),
        (httpx2.ConnectTimeout("secret"), "timeout"),
        (httpx2.ReadError("secret"), "unavailable"),
        (httpx2.StreamClosed(), "unavailable"),
    ],
)
def test_a_broken_connection_has_a_category(error: Exception, category: str) -> None:
    """The text of the original error does not appear, also not as the cause."""
    with pytest.raises(ProviderError) as failed, transport_failures("acme"):
        raise error
    assert (failed.value.category, failed.value.retryable, failed.value.__cause__) == (category, True, None)
    assert "secret" not in str(failed.value)


def test_a_refusal_has_its_status() -> None:
    """`retryable` follows from the category, as for every `ProviderError`."""
    error = StatusError("acme", "rate", 429, retry_after=1.5)
    assert (error.status, error.retry_after, error.retryable) == (429, 1.5, True)
    assert str(error) == str(ProviderError("acme", "rate"))


@pytest.mark.parametrize("error", [KeyError("words"), IndexError(), TypeError(), ValueError(), AttributeError()])
def test_an_answer_that_cannot_be_read_is_unavailable(error: Exception) -> None:
    """The error does not quote the answer."""
    with pytest.raises(ProviderError, match="acme is not available") as failed, malformed_answers("acme"):
        raise error
    assert failed.value.__suppress_context__


def test_other_errors_of_reading_an_answer_pass() -> None:
    """Errors of the provider's own code are not changed."""
    with pytest.raises(ProviderError, match="acme refused its key"), malformed_answers("acme"):
        raise ProviderError("acme", "auth")
