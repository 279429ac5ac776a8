"""The error classes: their codes, their JSON, and their texts for people and for the log."""

from __future__ import annotations

import inspect
import json
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Secret, errors
from rtvi_plugins.errors import (
    CATALOGUE,
    InvalidConfig,
    NotGranted,
    Problem,
    ProviderCategory,
    ProviderError,
    RequestError,
    Unauthorized,
    report,
    unknown,
)
from rtvi_plugins.runtime.client_errors import as_request_error
from rtvi_plugins.utils.error_texts import unwrap_group, where
from rtvi_plugins.utils.json_values import MAX_PROBLEMS, is_object
from rtvi_plugins.utils.names import nearest

from .tools.every import check_each

FAMILIES: dict[str, type[RequestError]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each)
    and issubclass(each, RequestError)
    and each is not RequestError
    and not name.startswith("_")
}
PROBLEMS = [Problem("$.data.config[0]", "is wrong", "right"), Problem("$", "is missing")]


def made(family: type[RequestError]) -> RequestError:
    """An error of a class, with the arguments of its constructor."""
    takes = list(inspect.signature(family).parameters)
    return family(PROBLEMS) if takes[0] == "problems" else family("It went wrong.", problems=PROBLEMS)  # type: ignore[arg-type]


# ---- the catalogue -------------------------------------------------------------------------------------------------


def test_the_catalogue_holds_every_error_once() -> None:
    """A client could not distinguish two classes with one code."""
    assert set(CATALOGUE.values()) == set(FAMILIES.values())
    assert len({each.code for each in FAMILIES.values()}) == len(FAMILIES)
    assert RequestError.code not in CATALOGUE


def test_an_error_is_documented_and_has_its_code_and_status() -> None:
    """The code is in small letters, the HTTP status is a failure, and the reference page has a sentence."""
    check_each(FAMILIES.values(), check_catalogued)


def check_catalogued(family: type[RequestError]) -> None:
    """Check the attributes of one class, and that it is in the catalogue."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", family.code)
    assert 400 <= family.status < 600
    assert (family.__doc__ or "").strip().endswith(".")
    assert CATALOGUE[family.code] is family
    assert family.__name__ in errors.__all__


# ---- as they travel ------------------------------------------------------------------------------------------------


def test_an_error_comes_out_as_it_went_in() -> None:
    """After the way over the wire, it has the same class, sentence, problems and `retryable`."""
    check_each(FAMILIES.values(), check_round_trip)


def check_round_trip(family: type[RequestError]) -> None:
    """Turn an error into JSON and back."""
    error = made(family)
    payload = json.loads(json.dumps(error.to_json()))
    back = RequestError.from_json(payload)
    assert type(back) is family
    assert (back.message, str(back), back.problems, back.retryable) == (
        error.message,
        str(error),
        tuple(PROBLEMS),
        error.retryable,
    )
    assert back.to_json() == payload


def test_an_error_tells_sentence_code_and_details() -> None:
    """Published clients read the field `error`. `suggestion` is there only if there is one."""
    assert InvalidConfig(PROBLEMS).to_json() == {
        "error": "$.data.config[0]: is wrong; $: is missing",
        "code": "invalid-config",
        "retryable": False,
        "details": [
            {"path": "$.data.config[0]", "message": "is wrong", "suggestion": "right"},
            {"path": "$", "message": "is missing"},
        ],
    }
    assert "details" not in Unauthorized("No.").to_json()


def test_an_author_may_refuse_in_words_of_their_own() -> None:
    """It has a general code. The author decides whether it is retryable."""
    assert RequestError("Not today.").to_json() == {"error": "Not today.", "code": "request-failed", "retryable": False}
    assert RequestError("Later.", retryable=True).to_json()["retryable"] is True


def test_a_sentence_stays_short_however_many_problems() -> None:
    """The details contain the first problems."""
    error = NotGranted([Problem("$", "x" * 100)] * 100)
    assert len(error.message) <= 2_000
    assert len(error.to_json()["details"]) == MAX_PROBLEMS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(CATALOGUE)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "retryable", "details", "path", "message", "detail", "suggestion"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(data=json_values)
def test_whatever_a_server_sends_is_an_error_to_raise(data: Any) -> None:
    """It has a sentence, and the class of its code if that is known."""
    error = RequestError.from_json(data)
    assert error.message
    assert isinstance(error.message, str)
    assert isinstance(error.retryable, bool)
    if is_object(data) and isinstance(code := data.get("code"), str):
        assert type(error) is CATALOGUE.get(code, RequestError)


# ---- names that are not known --------------------------------------------------------------------------------------


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    """Otherwise all known names are listed, or the error says that there is none."""
    near = unknown("option", "temprature", ["model", "temperature"], path="$.a")
    assert (near.path, near.suggestion) == ("$.a", "temperature")
    assert near.message == "unknown option 'temprature'; did you mean 'temperature'?"
    assert unknown("option", "xyz", ["model"]).message == "unknown option 'xyz'; known: model."
    assert unknown("option", "xyz", []).message == "unknown option 'xyz'; there is none."
    assert unknown("option", 3, ["model"]).message == "expected a string as option, got the number 3; known: model."


@given(name=st.text(max_size=2_000), known=st.lists(st.text(max_size=20), max_size=50))
def test_an_unknown_name_is_told_in_short(name: str, known: list[str]) -> None:
    """This is true for every length of the unknown name."""
    assert len(unknown("option", name, known).message) < 700
    assert nearest(name, known) in (None, *known)


def test_a_sentence_for_a_client_is_short_and_shows_no_secret() -> None:
    """An author may quote a vendor, or a client."""
    key = Secret("key-of-a-test")
    found = as_request_error(RequestError(f"{key.reveal()} {'...' * 1_000_000} {key.reveal()}", retryable=True))
    assert found is not None
    assert found.message.startswith("… ...")
    assert found.message.endswith("... …")
    assert len(found.message) <= 4_000
    assert found.retryable


# ---- as they are told to authors and to the log --------------------------------------------------------------------


def test_a_function_is_told_with_its_place() -> None:
    """The place is file and line. Without them, only the name is used."""
    place = where(test_a_function_is_told_with_its_place)
    assert re.fullmatch(r"test_a_function_is_told_with_its_place\(\) \(.*test_errors\.py:\d+\)", place)
    assert where(len) == "len()"


def test_the_log_quotes_an_exception_only_when_it_is_asked_to(caplog: pytest.LogCaptureFixture) -> None:
    """Even then, no key is logged."""
    key = Secret("key-of-a-test")
    error = ValueError(f"the vendor refused {key.reveal()}")
    with caplog.at_level(logging.INFO, "rtvi_plugins"):
        report("the hook", error)
    assert caplog.messages == ["the hook raised ValueError"]
    with caplog.at_level(logging.DEBUG, "rtvi_plugins"):
        report("the hook", error)
    assert "the vendor refused …" in caplog.text
    assert "key-of-a-test" not in caplog.text


def test_a_group_of_one_is_told_as_what_it_holds() -> None:
    """It may have passed several task groups. A group of several exceptions stays a group."""
    error = ValueError("a")
    several = ExceptionGroup("both", [error, KeyError("b")])
    assert unwrap_group(ExceptionGroup("outer", [ExceptionGroup("inner", [error])])) is error
    assert unwrap_group(error) is error
    assert unwrap_group(ExceptionGroup("outer", [several])) is several


# ---- a vendor's failures -------------------------------------------------------------------------------------------

CATEGORIES: dict[ProviderCategory, bool] = {
    "auth": False,
    "quota": False,
    "rate": True,
    "timeout": True,
    "unavailable": True,
    "bad-request": False,
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_vendors_failure_is_told_by_its_category(category: ProviderCategory) -> None:
    """The sentence is ours. The category decides whether it is retryable, unless the provider does."""
    error = ProviderError("acme", category)
    assert str(error).startswith("acme ")
    assert str(error).endswith(".")
    assert error.retryable is CATEGORIES[category]
    assert ProviderError("acme", category, retryable=not CATEGORIES[category]).retryable is not CATEGORIES[category]


def test_a_vendor_may_say_how_long_to_wait() -> None:
    """The time is in seconds. It is None if the vendor does not say."""
    assert ProviderError("acme", "rate", retry_after=2.5).retry_after == 2.5
    assert ProviderError("acme", "rate").retry_after is None
