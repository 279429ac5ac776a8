"""Arguments are checked against the JSON Schema of a client's function. Mistakes are found, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.voice.json_schema import check_schema

from ..fakes.providers import Fakes
from ..fakes.wire import connected, settle

PLACE = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "minLength": 1, "maxLength": 20},
        "zoom": {"type": "integer", "minimum": 1, "maximum": 20},
        "scale": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "style": {"enum": ["map", "photo", 1]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "at": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}},
    },
    "required": ["place"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "arguments",
    [
        {"place": "Rome"},
        {"place": "Rome", "zoom": 3, "scale": None, "style": "map", "tags": ["a", "b"], "at": {"x": 1, "y": 2}},
        {"place": "Rome", "zoom": 3.0, "scale": 0.5, "style": 1},
    ],
)
def test_arguments_as_they_are_declared_have_no_problem(arguments: Any) -> None:
    """A whole float is valid too: JSON Schema counts it as an integer."""
    assert check_schema(PLACE, arguments) == []


@pytest.mark.parametrize(
    ("arguments", "path", "words"),
    [
        ({}, "$", "place: is required."),
        ({"place": 5}, "$.place", "expected a string, got the number 5"),
        ({"place": ""}, "$.place", "expected at least 1 characters"),
        ({"place": "Rome", "zoom": 99}, "$.zoom", "expected a number up to 20"),
        ({"place": "Rome", "zoom": True}, "$.zoom", "expected a whole number, got true"),
        ({"place": "Rome", "zoom": 2.5}, "$.zoom", "expected a whole number"),
        ({"place": "Rome", "zoom": "3"}, "$.zoom", "expected a whole number"),
        ({"place": "Rome", "scale": 0}, "$.scale", "expected a number above 0"),
        ({"place": "Rome", "scale": "a"}, "$.scale", "expected a number or null"),
        ({"place": "Rome", "style": "drawing"}, "$.style", "expected one of 'map', 'photo', 1"),
        ({"place": "Rome", "style": True}, "$.style", "expected one of"),
        ({"place": "Rome", "tags": ["a", 2]}, "$.tags[1]", "expected a string"),
        ({"place": "Rome", "tags": ["a"] * 3}, "$.tags", "expected at most 2 items"),
        ({"place": "Rome", "at": {}}, "$.at", "x: is required."),
        ({"place": "Rome", "plaec": 1}, "$.plaec", "did you mean 'place'?"),
        ([], "$", "expected an object, got an array"),
    ],
)
def test_what_is_wrong_is_found_at_its_path(arguments: Any, path: str, words: str) -> None:
    """The words are the same as for arguments of actions."""
    (problem,) = check_schema(PLACE, arguments)
    assert problem.path == path
    assert words in problem.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYWORDS = (
    "type enum const required properties additionalProperties items minimum maxLength minItems $ref anyOf".split()
)
SCHEMAS = st.recursive(
    JSON,
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS), inner | st.dictionaries(st.text(max_size=3), inner, max_size=2), max_size=4
    ),
    max_leaves=6,
)


@given(SCHEMAS, JSON)
def test_a_schema_that_is_none_raises_nothing(schema: Any, value: Any) -> None:
    """A client may send any value as a schema."""
    for problem in check_schema(schema, value):
        assert problem.message


def test_a_flood_of_problems_is_cut_short() -> None:
    """The LLM reads only the first problems."""
    assert len(check_schema({"additionalProperties": False}, {str(number): 1 for number in range(1000)})) == 25


@bot(
    services={"llm": "scripted"},
    config={"llm": {"tools": [{"name": "show_map", "parameters": PLACE}]}},
    public=True,
)
async def guide(session: Session, /, llm: LLM) -> None:
    """A bot with a map, which the client shows."""
    await converse(session, llm=llm)


@pytest.mark.anyio
async def test_a_client_is_not_asked_with_arguments_that_its_function_does_not_declare() -> None:
    """The LLM reads the problems at once, and can call again."""
    fakes = Fakes(
        [ToolCall("1", "show_map", {"zoom": "x"})], [ToolCall("2", "show_map", {"place": "Rome"})], [Text("Hm.")]
    )
    async with connected(guide, fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        result = str(fakes.requests[1].messages[-1]["content"])
        assert "$.arguments: place: is required." in result
        assert "$.arguments.zoom: expected a whole number, got the string 'x'" in result
        assert [each["arguments"] for each in wire.data_of("llm-function-call-in-progress")] == [{"place": "Rome"}]
