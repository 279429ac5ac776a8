"""Secrets do not show themselves when they are printed, formatted, stored or logged."""

from __future__ import annotations

import base64
import copy
import html
import io
import json
import logging
import pickle
import pprint
import re
import string
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import attrs
import orjson
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Secret
from rtvi_plugins.declare.to_json import to_json
from rtvi_plugins.protocol.codec import encode
from rtvi_plugins.utils.secrets import scrub, secrets_in_environment

KEY = "key-of-a-test"


@define
class Provider:
    """An object with a key, like a provider."""

    key: Secret
    name: str = "acme"


SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret}",
    "format with a width": lambda secret: f"{secret:>40}",
    "format with !s and !r": lambda secret: f"{secret!s} {secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "str.format": lambda secret: "{0} {0!r}".format(secret),  # noqa: UP032
    "pprint": pprint.pformat,
    "inside a list": lambda secret: str([secret, {"key": secret}, (secret,)]),
    "inside an attrs object": lambda secret: repr(Provider(secret)),
    "attrs.asdict": lambda secret: str(attrs.asdict(Provider(secret))),
    "dir and slots": lambda secret: str([getattr(secret, name, None) for name in (*dir(secret), *Secret.__slots__)]),
    "exception": lambda secret: str(ValueError(secret)),
    "ascii": ascii,
    "to_json": lambda secret: str(to_json(Provider(secret))),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_does_not_show_itself(way: str) -> None:
    """All ways to turn it into text are tried."""
    assert KEY not in SHOWN[way](Secret(KEY))


def test_only_reveal_gives_it_away() -> None:
    """`bool` shows whether it is empty."""
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY)
    assert not Secret("")


def test_a_secret_cannot_be_stored() -> None:
    """It can be neither pickled nor copied with pickle, and not written as JSON."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(Secret(KEY), protocol)
    for attempt in (copy.copy, copy.deepcopy, json.dumps, orjson.dumps):
        with pytest.raises(TypeError):
            attempt(Secret(KEY))
    with pytest.raises(TypeError):
        encode("server-message", None, {"key": Secret(KEY)})


def test_a_log_shows_no_secret() -> None:
    """It may be an argument, a part of one, or a local variable in a traceback."""
    stream = io.StringIO()
    log = logging.Logger("of this test")
    log.addHandler(logging.StreamHandler(stream))
    secret = Secret(KEY)
    log.warning("%s %r %s", secret, secret, Provider(secret))
    assert "Secret('…')" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_a_crash_report_shows_no_secret() -> None:
    """Such a report has the local variables of every frame."""

    def fail(api_key: Secret) -> None:
        provider = Provider(api_key)
        raise RuntimeError(f"{provider} failed")

    with pytest.raises(RuntimeError) as raised:
        fail(Secret(KEY))
    report = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    text = "".join(report.format())
    assert "api_key = Secret('…')" in text
    assert KEY not in text


def test_two_secrets_of_one_text_are_two() -> None:
    """A comparison does not show whether the values are equal."""
    one, other = Secret(KEY), Secret(KEY)
    assert one == one
    assert one != other
    assert len({one, other}) == 2


# ---- the net under them --------------------------------------------------------------------------------------------


def test_what_somebody_shows_all_the_same_is_scrubbed() -> None:
    """All secrets in use are found in all places. A secret that is no longer used is forgotten."""
    key, other = Secret("1st-key"), Secret("2nd-key")
    assert scrub("POST with 1st-key and 2nd-key, 1st-key") == "POST with … and …, …"
    del key, other
    assert scrub("1st-key and 2nd-key") == "1st-key and 2nd-key"


def test_a_secret_that_begins_like_another_is_scrubbed_whole() -> None:
    """Otherwise the rest of the longer one would show half a key."""
    kept = [Secret(KEY + "-of-europe"[:length]) for length in range(11)]
    assert scrub(f"{KEY}-of-europe") == "…"
    assert len(kept) == 11


def test_an_empty_secret_scrubs_nothing() -> None:
    """A key may be empty if a server needs none."""
    empty = Secret("")
    assert scrub("a text") == "a text"
    assert not empty


@given(keys=st.lists(st.text("ab-", min_size=1, max_size=6), max_size=4), text=st.text("ab-", max_size=30))
def test_nothing_of_any_secret_is_left(keys: list[str], text: str) -> None:
    """The keys may have common parts."""
    secrets: list[Any] = [Secret(key) for key in keys]
    scrubbed = scrub(text)
    assert not any(secret.reveal() in scrubbed for secret in secrets)


LONG_KEY = 'sk-proj-aB3$+/x9 ZZ7"qwé\\rtyUIOP&wxyz'

FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "without the space around it": str.strip,
    "repr": repr,
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps({"key": key})),
    "JSON that escapes all": lambda key: re.sub("....", r"\\u\g<0>", key.encode("utf-16-be").hex()),
    "a path": quote,
    "a path, small letters": lambda key: _lower_escapes(quote(key)),
    "a part of a path": lambda key: quote(key, safe=""),
    "a query": quote_plus,
    "every byte of a URL": lambda key: "".join(f"%{each:02X}" for each in key.encode()),
    "a URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, every character": lambda key: "".join(f"&#{ord(each)};" for each in key),
    "ASCII": ascii,
    "hexadecimal": lambda key: key.encode().hex(),
    "bytes": lambda key: repr(key.encode()),
}


def _lower_escapes(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [LONG_KEY, f" {LONG_KEY}\n", "short$1 ", "p/ss wörd", "🔑🔐 keys", "a\\nb\\tc\\x41d"])
def test_a_key_is_scrubbed_in_each_form(form: str, value: str) -> None:
    """These are the forms in which libraries log their arguments."""
    secret = Secret(value)
    scrubbed = scrub(f"<{FORMS[form](value)}>")
    pieces = [value.strip()[begin : begin + 5] for begin in range(len(value.strip()) - 4)]
    assert not [piece for piece in pieces if piece in scrubbed or FORMS[form](piece).strip("\"'b") in scrubbed]
    assert scrubbed.startswith("<")
    assert scrubbed.endswith(">")
    assert secret


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_basic_auth_is_scrubbed(user: str, encode: Callable[[bytes], bytes]) -> None:
    """The key may begin at any position in it."""
    secret = Secret(LONG_KEY)
    header = encode(f"{user}:{LONG_KEY}:more".encode()).decode()
    scrubbed = scrub(f"Authorization: Basic {header}")
    assert len(scrubbed) < len("Authorization: Basic ") + 20
    assert secret


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-pr********4711.", "Incorrect API key provided: …."),
        ("Incorrect API key provided: sk-proj-...4711", "Incorrect API key provided: …"),
        ("the key sk-...4711", "the key …"),
        ("the key sk-proj…", "the key …"),
        ("the key sk-proj-Ab1xxxxx", "the key …"),
        ("begins with sk-proj-Ab1c", "begins with …"),
        ("a text of 'sk-proj-Ab1cD", "a text of '…"),
        ("ends with QrSt4711", "ends with …"),
        ("the rest is cD2eF3gH4iJkLmNoPqRsTuQrSt4711, yes", "the rest is …, yes"),
        ("a part of it is (eF3gH4iJkLmN)", "a part of it is (…)"),
        ("lines of 20:\nsk-proj-Ab1cD2eF3gH4\niJkLmNoPqRsTuQrSt471\n1", "lines of 20:\n…\n…\n1"),
        ("https://sk-proj-ab1cd2ef3gh4ijklmnopqrstuqrst4711.example", "https://….example"),
    ],
)
def test_a_part_of_a_key_is_scrubbed(text: str, expected: str) -> None:
    """Vendors show its beginning and end, and cut what is too long."""
    secret = Secret("sk-proj-Ab1cD2eF3gH4iJkLmNoPqRsTuQrSt4711")
    assert scrub(text) == expected
    assert secret


@pytest.mark.parametrize(
    "text",
    [
        "the password is wrong...",
        "operator... of the production server",
        "wait... done",
        "an operator, a password, a server",
        "..., and more",
        "it ends with 4711",
    ],
)
def test_ordinary_words_are_left(text: str) -> None:
    """Secrets may contain such words."""
    kept = [Secret("operator-of-the-password"), Secret("wait-for-the-server"), Secret("abcdefgh-4711")]
    assert scrub(text) == text
    assert kept


@pytest.mark.parametrize(
    "url",
    [
        "http://user:PASSWORD@host/v1",
        "https://PASSWORD@host",
        "http://user:PASSWORD@[::1]:80/",
        "http://us@er:PASSWORD@host",
        "socks5://user:PASSWORD%40@host:1080",
    ],
)
def test_the_password_of_a_url_is_scrubbed(url: str) -> None:
    """It is a secret, although it is not a `Secret`."""
    assert "PASSWORD" not in scrub(f"GET {url} failed")
    assert scrub("GET http://host/a@b?c=d@e and me@host") == "GET http://host/a@b?c=d@e and me@host"


def test_the_keys_of_an_environment_are_known() -> None:
    """These are the declared variables, and those whose names say that they have keys."""
    environ = {
        "ACME_API_KEY": "short",
        "OTHER_API_KEY": "sk-other-key",
        "RTVI_OPERATOR_SECRET": "an operator's secret",
        "RTVI_OPERATOR_SECRET_PREVIOUS": "the secret before",
        "HF_TOKEN": "hf_abcdefgh",
        "API_KEY_2": "sk-second-key",
        "PGPASSWORD": "a database's password",
        "GCP_CREDENTIALS": "/etc/gcp.json",
        "MAX_TOKENS": "1000000000",
        "PWD": "/home/somebody",
        "TOKENIZERS_PARALLELISM": "false",
        "USE_KEY": "true",
        "SSL_KEY": "/etc/ssl/private.key",
        "HOME": "/home/somebody",
        "HTTPS_PROXY": "http://me:a-proxys%20password@proxy:3128",
        "DATABASE_URL": "postgres://me@host/v1:x@y",
    }
    found = [each.reveal() for each in secrets_in_environment(environ, ["ACME_API_KEY", "MISSING_API_KEY"])]
    assert sorted(found) == [
        *["a database's password", "a-proxys password", "an operator's secret", "hf_abcdefgh", "short"],
        *["sk-other-key", "sk-second-key", "the secret before"],
    ]


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=16, max_size=60)


@given(key=KEYS, form=st.sampled_from(sorted(FORMS)), before=st.text(max_size=9), after=st.text(max_size=9))
def test_nothing_of_a_key_is_left_in_any_form(key: str, form: str, before: str, after: str) -> None:
    """Any text may be around it."""
    secret = Secret(key)
    scrubbed = scrub(f"{before} {FORMS[form](key)} {after}")
    middle = FORMS[form](key).strip("\"'b")
    assert middle not in scrubbed
    assert scrubbed.count("…") >= 1
    assert secret


@given(text=st.text("xyz \n\t…*.%\\&@:/\ud800é"), keys=st.lists(st.text("123-", min_size=8, max_size=40), max_size=3))
def test_text_without_keys_is_left_as_it_is(text: str, keys: list[str]) -> None:
    """The text may contain invalid escapes, and characters that cannot be encoded."""
    kept = [Secret(key) for key in keys]
    quiet = text.replace("://", "")
    assert scrub(quiet) == quiet
    assert len(kept) == len(keys)


@given(key=st.text(string.ascii_letters + string.digits + "-_", min_size=16), shown=st.integers(8, 15))
def test_the_beginning_and_the_end_of_a_key_are_scrubbed(key: str, shown: int) -> None:
    """The shortest part has eight characters."""
    secret = Secret(f"A1{key}9z")
    value = secret.reveal()
    for part in (value[:shown], value[-shown:], f"{value[:3]}...{value[-4:]}"):
        assert scrub(f"<{part}>") == "<…>"
