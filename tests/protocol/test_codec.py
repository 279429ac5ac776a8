"""JSON text becomes messages, and messages become text. Invalid text is refused with a code, and nothing raises."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.errors import InvalidMessage, MessageTooDeep, MessageTooLarge
from rtvi_plugins.protocol.codec import decode, encode, encode_json, encode_spliced
from rtvi_plugins.utils.json_values import is_array, is_object

SIZE, DEPTH = 2_000, 8

#: What JSON and its fast codec can both carry: integers of 64 bits, numbers that are finite, text that is Unicode.
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)


def read(text: str, *, size: int = SIZE, depth: int = DEPTH) -> dict[str, Any]:
    """A text within the bounds of these tests."""
    return decode(text, size=size, depth=depth)


def nesting(value: Any) -> int:
    """Return the nesting depth of a value."""
    if is_object(value):
        return 1 + max(map(nesting, value.values()), default=0)
    return 1 + max(map(nesting, value), default=0) if is_array(value) else 0


# ---- decoding ------------------------------------------------------------------------------------------------------


@given(message=objects)
def test_what_json_wrote_is_read(message: dict[str, Any]) -> None:
    """Any JSON library may have written the text."""
    for text in (json.dumps(message), json.dumps(message, ensure_ascii=False, indent=1), encode_json(message)):
        assert read(text, size=10_000, depth=64) == message


@given(text=st.text(st.characters()) | values.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    """A refusal is a `RequestError`."""
    with suppress(InvalidMessage, MessageTooLarge, MessageTooDeep):
        assert read(text).__class__ is dict


@given(message=objects, depth=st.integers(1, 6))
def test_nesting_is_counted_as_it_is(message: dict[str, Any], depth: int) -> None:
    """Brackets in strings do not count, whatever is before them."""
    text = json.dumps(message)
    if nesting(message) > depth:
        with pytest.raises(MessageTooDeep):
            read(text, size=10_000, depth=depth)
    else:
        assert read(text, size=10_000, depth=depth) == message


@pytest.mark.parametrize("written", ["[[[[[[[[[[[[", "{{{{{{{{{{{{", '"[{', "\\", '\\"[[[[[[[[[[', "]]}}"])
def test_brackets_in_strings_nest_nothing(written: str) -> None:
    """They may follow quotes and backslashes, in names and in values."""
    message = {"data": {"text": written * 9, written * 9: 1}}
    assert read(json.dumps(message)) == message


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', "[ \n"])
def test_a_text_that_nests_too_deep_is_refused_before_it_is_parsed(opening: str) -> None:
    """This is true for every depth, and for texts that are not closed."""
    for depth in (9, 500, 100_000):
        closing = "".join("}" if each == "{" else "]" for each in reversed(opening) if each in "[{")
        for text in (opening * depth, f'{{"data":{opening * depth}1{closing * depth}}}'):
            with pytest.raises(MessageTooDeep, match="deeper than the 8 levels"):
                read(text, size=1_000_000)


def test_a_text_may_be_as_long_and_as_deep_as_is_accepted() -> None:
    """A longer or deeper text is refused."""
    longest = '{"a":"%s"}' % ("x" * (SIZE - 8))
    assert len(longest) == SIZE
    assert read(longest)
    for longer in (f"{longest} ", longest + " " * 100 * SIZE):
        with pytest.raises(MessageTooLarge, match=f"{len(longer)} characters long; at most {SIZE}"):
            read(longer)
    deepest = '{"a":' * (DEPTH - 1) + "{}" + "}" * (DEPTH - 1)
    assert read(deepest)
    with pytest.raises(MessageTooDeep):
        read(f'{{"a":{deepest}}}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "nothing",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e400}',
        '{"a": %s}' % ("9" * 400),
        '{"a": "\\ud800"}',
        '{"a": "\ud800"}',
        '{"\udfff": 1}',
        '{"a": "\x00"}',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 01}',
        "\ufeff{}",
        '{"a": 1} {"b": 2}',
    ],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """The error has the position. Numbers and characters that JSON does not have are refused."""
    with pytest.raises(InvalidMessage, match=r"The message is not JSON: .* \(line \d+, column \d+\)\."):
        read(text)


@pytest.mark.parametrize(
    ("text", "found"), [("[]", "an array"), ("3", "the number 3"), ("null", "null"), ('"a"', "'a'")]
)
def test_what_is_no_object_is_refused(text: str, found: str) -> None:
    """The error names the type of the value."""
    with pytest.raises(InvalidMessage, match=found):
        read(text)


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    """Every client's parser does the same."""
    assert read('{"id": "a", "id": "b"}') == {"id": "b"}


def test_a_huge_integer_is_no_integer() -> None:
    """It is read as a float, so an option for whole numbers refuses it."""
    assert read('{"a": 18446744073709551615}')["a"] == 2**64 - 1
    assert isinstance(read('{"a": 18446744073709551616}')["a"], float)


# ---- encoding ------------------------------------------------------------------------------------------------------


@given(id=st.none() | texts, data=values)
def test_what_was_encoded_is_what_is_read(id: str | None, data: Any) -> None:
    """Label and type are always there, the id and data if they are given."""
    message = json.loads(encode("config", id, data))
    assert message == {
        "label": "rtvi-ai",
        "type": "config",
        **({} if id is None else {"id": id}),
        **({} if data is None else {"data": data}),
    }


@given(id=texts, data=values)
def test_spliced_data_makes_the_same_message(id: str, data: Any) -> None:
    """This is true for every id of a client."""
    assert json.loads(encode_spliced("config", id, encode_json(data)))["id"] == id
    assert json.loads(encode_spliced("config", id, encode_json(data))).get("data") == data


@pytest.mark.parametrize("value", [{1, 2}, b"a", object(), {1: 2}, 2**64, "\ud800", [{"a": 1j}]])
def test_what_json_cannot_carry_is_a_type_error(value: Any) -> None:
    """The exception is for the caller, not for the client."""
    with pytest.raises(TypeError):
        encode("server-message", None, value)
    with pytest.raises(TypeError):
        encode_json(value)
