"""Keys that do not show themselves, whoever prints, formats, stores or logs them."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import orjson
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Secret
from rtvi_plugins._codec import encode
from rtvi_plugins._secret import scrub
from rtvi_plugins._shapes import to_json

KEY = "key-of-a-test"


@define
class Provider:
    """Something that keeps a key, as providers do."""

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
    """In whatever way it is made into text."""
    assert KEY not in SHOWN[way](Secret(KEY))


def test_only_reveal_gives_it_away() -> None:
    """And whether there is anything in it shows without that."""
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY)
    assert not Secret("")


def test_a_secret_cannot_be_stored() -> None:
    """Neither pickled, nor copied by way of it, nor written as JSON."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(Secret(KEY), protocol)
    for attempt in (copy.copy, copy.deepcopy, json.dumps, orjson.dumps):
        with pytest.raises(TypeError):
            attempt(Secret(KEY))
    with pytest.raises(TypeError):
        encode("server-message", None, {"key": Secret(KEY)})


def test_a_log_shows_no_secret() -> None:
    """As an argument, inside of one, or in the locals of a trace."""
    stream = io.StringIO()
    log = logging.Logger("of this test")
    log.addHandler(logging.StreamHandler(stream))
    secret = Secret(KEY)
    log.warning("%s %r %s", secret, secret, Provider(secret))
    assert "Secret('…')" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_a_crash_report_shows_no_secret() -> None:
    """With the locals of every frame, as such reports hold."""

    def fail(api_key: Secret) -> None:
        provider = Provider(api_key)
        raise RuntimeError(f"{provider} failed")

    with pytest.raises(RuntimeError) as raised:
        fail(Secret(KEY))
    report = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    told = "".join(report.format())
    assert "api_key = Secret('…')" in told
    assert KEY not in told


def test_two_secrets_of_one_text_are_two() -> None:
    """Comparing does not tell whether they are the same."""
    one, other = Secret(KEY), Secret(KEY)
    assert one == one
    assert one != other
    assert len({one, other}) == 2


# ---- the net under them --------------------------------------------------------------------------------------------


def test_what_somebody_shows_all_the_same_is_scrubbed() -> None:
    """Every secret in use, wherever it stands; of one that is gone nothing is known."""
    key, other = Secret("one-key"), Secret("another-key")
    assert scrub("POST with one-key and another-key, one-key") == "POST with … and …, …"
    del key, other
    assert scrub("one-key and another-key") == "one-key and another-key"


def test_a_secret_that_begins_like_another_is_scrubbed_whole() -> None:
    """The rest of the longer one would be half a key."""
    kept = [Secret(KEY + "-of-europe"[:length]) for length in range(11)]
    assert scrub(f"{KEY}-of-europe") == "…"
    assert len(kept) == 11


def test_an_empty_secret_scrubs_nothing() -> None:
    """A key may be left empty where a server wants none."""
    empty = Secret("")
    assert scrub("a text") == "a text"
    assert not empty


@given(keys=st.lists(st.text("ab-", min_size=1, max_size=6), max_size=4), text=st.text("ab-", max_size=30))
def test_nothing_of_any_secret_is_left(keys: list[str], text: str) -> None:
    """Whatever the keys have in common."""
    secrets: list[Any] = [Secret(key) for key in keys]
    told = scrub(text)
    assert not any(secret.reveal() in told for secret in secrets)
