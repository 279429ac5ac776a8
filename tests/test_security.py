"""Protection against leaks for servers and providers: environments of helpers, URLs, quiet HTTP clients."""

from __future__ import annotations

import gc
import logging
import string
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Secret
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.security import helper_environment, http_url, quiet_http_clients
from rtvi_plugins.utils.secrets import scrub

from .protocol import test_start_request

KEY = "key-of-a-test-4711"


def test_a_helper_gets_what_it_needs_to_run_and_no_more() -> None:
    """It is a list of allowed variables, because nobody knows the names of all keys."""
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "LANG": "C",
        "ACME_API_KEY": KEY,
        "RTVI_OPERATOR_SECRET": KEY,
        "RTVI_ICE_SERVERS": KEY,
        "HTTPS_PROXY": f"http://user:{KEY}@proxy",
        "DATABASE_URL": KEY,
        "ACME_VOICES": "/voices",
    }
    assert helper_environment(environ=environ) == {"PATH": "/bin", "LC_ALL": "C", "LANG": "C"}
    assert helper_environment("ACME_VOICES", environ=environ)["ACME_VOICES"] == "/voices"


def test_a_helpers_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another environment may be passed."""
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.setenv("ACME_API_KEY", KEY)
    assert helper_environment()["PATH"] == "/somewhere"
    assert "ACME_API_KEY" not in helper_environment()


@pytest.mark.parametrize(
    "url",
    [
        "https://api.acme.example/v1",
        "http://127.0.0.1:8000",
        "http://[::1]:80/v1?a=b@c#d",
        "https://host/a@b",
        "HTTPS://HOST/",
    ],
)
def test_urls_that_are_accepted(url: str) -> None:
    """An `@` after the host does not mark a user."""
    http_url(None, None, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:PASSWORD@host/v1",
        "http://PASSWORD@host",
        "http://@host",
        "http://:PASSWORD@host",
        "http://a@b:PASSWORD@host",
        "//user:PASSWORD@host",
        "http:user:PASSWORD@host",
        "http:\\\\user:PASSWORD@host",
        "http://user:PASSWORD\\@host",
        "http://us er:PASSWORD@host",
        "http://user:PASS\nWORD@host",
        "http://host:PASSWORD/",
        "http://[PASSWORD/",
        "socks5://user:PASSWORD@host",
        "PASSWORD",
        "http://",
        "",
        5,
        None,
    ],
)
def test_urls_that_are_refused_without_being_repeated(url: Any) -> None:
    """The URLs have different mistakes."""
    with pytest.raises(ValueError, match="must") as raised:
        http_url(None, None, url)
    assert "PASSWORD" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (5, "is not a string"),
        ("http://a b", "contains a space, a backslash or a control character"),
        ("http://host:PASSWORD/", "has an invalid host or port"),
        ("api.acme.example/v1", "does not begin with http:// or https://"),
        ("https://", "has no host"),
    ],
)
def test_the_reason_why_a_url_is_refused_is_named(url: Any, reason: str) -> None:
    """It comes after an example of a URL."""
    expected = f"must be an http or https URL, as in https://api.acme.example/v1; this one {reason}"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        http_url(None, None, url)


URL_TEXT = st.text(string.ascii_letters + string.digits + ":@/?#[]\\%.- \n\t", max_size=30)


@given(st.sampled_from(["http://", "https://", ""]), URL_TEXT)
def test_a_url_that_is_accepted_has_no_userinfo(scheme: str, rest: str) -> None:
    """Some readers treat everything before the last `@` of the host as a user."""
    try:
        http_url(None, None, scheme + rest)
    except ValueError:
        return
    host = rest.split("/")[0].split("?")[0].split("#")[0]
    assert "@" not in host
    assert host


def test_http_clients_log_warnings_only_unless_a_level_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """If somebody has set a level, it is kept."""
    chosen, other = logging.getLogger("httpx2"), logging.getLogger("httpcore2")
    monkeypatch.setattr(chosen, "level", logging.DEBUG)
    monkeypatch.setattr(other, "level", logging.NOTSET)
    quiet_http_clients()
    assert (chosen.level, other.level) == (logging.DEBUG, logging.WARNING)


def test_a_host_knows_the_keys_of_its_providers_and_of_its_environment() -> None:
    """It knows them from its creation to its end, whether a session uses them or not."""
    environ = {"KEYED_API_KEY": "declared 4711", "OTHER_API_KEY": "another-4711", "HOME": "home-4711"}
    host = Host(
        test_start_request.anyones,
        modules=[test_start_request],
        environ=environ,
        operator_secret=Secret("operator-4711-secret"),
    )
    assert scrub("declared 4711, another-4711, operator-4711-secret, home-4711") == "…, …, …, home-4711"
    gone = weakref.ref(host)
    del host
    gc.collect()
    assert gone() is None
    assert scrub("declared 4711") == "declared 4711"


@pytest.mark.anyio
async def test_a_log_shows_no_token_that_opens_a_session() -> None:
    """Otherwise a reader of the log could take the session."""
    environ = {"KEYED_API_KEY": KEY}
    async with Host(
        test_start_request.anyones, modules=[test_start_request], environ=environ, clock=ManualClock()
    ) as host:
        started = await host.start({})
        assert scrub(f"GET /ws?token={started.token} failed") == "GET /ws?token=… failed"
