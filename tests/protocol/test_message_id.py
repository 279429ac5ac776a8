"""The id of a text that was refused before it was parsed: it is found in every position, and never inside the data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.hosting import Limits
from rtvi_plugins.protocol.codec import refused_id

from ..fakes import faulty
from ..fakes.faulty import talker
from ..fakes.wire import Wire, connected, settle

#: What JavaScript's `JSON.stringify` can write, half of a surrogate pair included.
texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
names = st.sampled_from(["id", "data", '"id"', "\\", "a"]) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
ids = st.text(st.characters(codec="utf-8"), max_size=12)
LONG = 70_000


def written(message: dict[str, Any], indent: int | None) -> str:
    """A message as `JSON.stringify` writes it, or indented."""
    return json.dumps(message, indent=indent, separators=None if indent else (",", ":"))


def placed(id: str, data: Any, place: int) -> dict[str, Any]:
    """A message whose id is at this position among its keys."""
    members: list[tuple[str, Any]] = [("label", "rtvi-ai"), ("type", "action"), ("data", data)]
    members.insert(place, ("id", id))
    return dict(members)


@given(id=ids, data=values, place=st.integers(0, 3), indent=st.sampled_from([None, 2]))
def test_the_id_is_found_at_any_place(id: str, data: Any, place: int, indent: int | None) -> None:
    """The data may contain names "id", quotes, backslashes, half a character, and NaN."""
    assert refused_id(written(placed(id, data, place), indent)) == id


@given(id=ids, data=values, place=st.integers(0, 3), fill=st.sampled_from(["x", '"', "\\", "{", "}", '","id":"']))
def test_the_id_is_found_in_a_long_text(id: str, data: Any, place: int, fill: str) -> None:
    """The id may be before the data or after it."""
    large = {"id": "inner", "before": data, "text": fill * LONG, "after": data, "more": {"id": "inner"}}
    assert refused_id(written(placed(id, large, place), None)) == id


@given(data=values, fill=st.sampled_from(["x", '"', "\\", "{"]), size=st.sampled_from([1, LONG]))
def test_an_id_inside_the_data_is_never_taken(data: Any, fill: str, size: int) -> None:
    """This is true also if the message has no id of its own."""
    inner = {"more": data, "text": fill * size, "id": "inner"}
    assert refused_id(written({"label": "rtvi-ai", "data": inner}, None)) is None
    assert refused_id(written({"label": "rtvi-ai", "data": [inner, inner]}, None)) is None


@given(id=ids, data=values, fill=st.sampled_from(["x", '","id":"x"', "}"]), size=st.sampled_from([9, 20_000]))
def test_a_text_that_was_cut_off_has_the_id_that_came_before_the_cut(id: str, data: Any, fill: str, size: int) -> None:
    """In such a text, the last bracket closes an inner object."""
    inner = {"text": fill * (size // len(fill)), "more": data, "id": "inner"}
    first = written({"id": id, "data": inner}, None)
    last = written({"data": inner, "id": id}, None)
    for cut in (1, 2, 20):
        assert refused_id(first[:-cut]) == id
    assert refused_id(last[: last.rindex(',"id"')]) is None


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ('{"id":"a","id":"b"}', "b"),
        ('\ufeff{"data":{},"id":"a"}', "a"),
        ('  {"data" : {} ,\n\t"id" : "a" }  \n', "a"),
        ('{"\\u0069d":"a"}', "a"),
        ('{"id":"\\u00e9\\"\\\\"}', 'é"\\'),
        ('{"id":"\\ud83c"}', None),
        ('{"id":7}', None),
        ('{"id":{"id":"a"}}', None),
        ('{"data":1,"id":"a"', "a"),
        ('{"data":1,"id":"a', None),
        ('[{"id":"a"}]', None),
        ('"id"', None),
        ("{'id':'a'}", None),
        ("", None),
        ("{}", None),
        ("{" * 100_000, None),
        ("[" * 100_000 + "]" * 100_000, None),
        ('{"data":' + "[" * 100_000 + "]" * 100_000 + ',"id":"a"}', "a"),
        ('{"data":' + "[" * 100_000 + "]" * 99_999 + ',"id":"a"}', None),
    ],
)
def test_an_id_is_what_a_parser_would_have_found(text: str, id: str | None) -> None:
    """If there are two, it is the last one. It is None if there is none that can be read."""
    assert refused_id(text) == id


def test_of_a_huge_text_little_is_read() -> None:
    """The search stops if an id is far from both ends."""
    items = [{"id": "inner", "text": "x"}] * 3_000
    message = {"before": items, "id": "a", "after": items}
    assert refused_id(written(message, None)) is None


# ---- in a session --------------------------------------------------------------------------------------------------


def message(data: str, *, id: str = "own") -> str:
    """The text of an action as published clients write it, with the id last."""
    return f'{{"label":"rtvi-ai","type":"action","data":{data},"id":"{id}"}}'


REFUSED = {
    "half an emoji": (
        '{"service":"bot","action":"echo","arguments":[{"name":"text","value":"\\ud83c"}]}',
        "invalid-message",
    ),
    "NaN": ('{"service":"bot","action":"echo","id":"inner","value":NaN}', "invalid-message"),
    "a number out of range": ('{"value":1e999}', "invalid-message"),
    "too large": ('{"id":"inner","value":"%s"}' % ("x" * LONG), "message-too-large"),
    "too deep": ("[" * 99 + "]" * 99, "message-too-deep"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", REFUSED)
async def test_what_is_refused_unparsed_is_answered_under_its_id(kind: str) -> None:
    """The session continues."""
    data, code = REFUSED[kind]
    async with connected(talker, faulty) as wire:
        wire.connection.receive(message(data))
        assert (await wire.error("own"))["code"] == code
        assert wire.answers("inner") == wire.answers("") == []
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"


@pytest.mark.anyio
async def test_what_comes_too_fast_is_answered_under_its_id() -> None:
    """Each of six hundred requests that come at once has one answer."""
    count = 600
    async with connected(talker, faulty, limits=Limits(in_flight=10, burst=400)) as wire:
        for number in range(count):
            wire.connection.receive(message('{"service":"bot","action":"nothing"}', id=f"n{number}"))
        await settle()
        assert [len(wire.answers(f"n{number}")) for number in range(count)] == [1] * count
        assert codes(wire) >= {"rate-limited"}


@pytest.mark.anyio
async def test_a_refused_repetition_of_a_pending_id_has_no_answer_of_its_own() -> None:
    """The pending request is answered once."""
    async with connected(talker, faulty, ready=False) as wire:
        id = wire.send("get-config", {}, id="own")
        wire.connection.receive(message("NaN"))
        await settle()
        assert wire.answers(id) == []
        wire.send("client-ready", {})
        assert (await wire.answer(id))["type"] == "config"


def codes(wire: Wire) -> set[str]:
    """The codes of all errors that have come."""
    return {error["code"] for error in wire.data_of("error-response")}
