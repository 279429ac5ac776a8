"""An answer is assembled from the chunks of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from random import Random
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_server import USAGE, calling, chunk, failing, saying

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_openai import connect
from rtvi_plugins_openai._answer import Answer


def put_together(chunks: Iterable[Any], *, done: bool = True) -> list[LLMPiece]:
    """Return the pieces that these chunks make."""
    answer = Answer("acme")
    pieces: list[LLMPiece] = []
    for each in chunks:
        pieces += answer.take(each if isinstance(each, str) else json.dumps(each))
    if done:
        pieces += answer.take("[DONE]")
    return [*pieces, *answer.end()]


def call_chunk(function: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a chunk with a fragment of a function call."""
    return chunk({"tool_calls": [{"function": function, **more}]})


def cut(text: str, places: Sequence[int]) -> list[str]:
    """Return the text in fragments."""
    edges = sorted(place % (len(text) + 1) for place in places)
    return [text[start:end] for start, end in zip([0, *edges], [*edges, len(text)], strict=True)]


# ---- text and usage --------------------------------------------------------------------------------------------------


def test_text_comes_as_it_is_and_the_usage_last() -> None:
    """Empty pieces are left out. The counts come from the chunk after the end."""
    assert put_together(saying("He", "llo").chunks) == [Text("He"), Text("llo"), Usage(12, 5, model="small-1")]


def test_usage_may_stand_on_the_last_piece() -> None:
    """Together reports it with the end of the answer, and other vendors with every chunk. The last report counts."""
    reports = [
        {**chunk({"content": "Hi"}), "usage": {"prompt_tokens": 1}},
        {**chunk({}, finish="stop"), "usage": USAGE},
    ]
    assert put_together(reports) == [Text("Hi"), Usage(12, 5, model="small-1")]


def test_the_usage_has_the_cached_and_the_reasoning_tokens() -> None:
    """These are counted if the vendor reports them. Other servers send null."""
    details = {
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    for sent, usage in (
        (details, Usage(12, 5, cached_tokens=8, reasoning_tokens=3)),
        (dict.fromkeys(details), Usage(12, 5)),
    ):
        reports = [{**chunk({"content": "Hi"}, finish="stop"), "usage": {**USAGE, **sent}}]
        (found,) = [each for each in put_together(reports) if isinstance(each, Usage)]
        assert (found.cached_tokens, found.reasoning_tokens) == (usage.cached_tokens, usage.reasoning_tokens)


def test_a_refusal_is_said() -> None:
    """The words with which the model refuses are an answer, too."""
    assert put_together([chunk({"refusal": "I would rather not."}, finish="stop")]) == [Text("I would rather not.")]


def test_thoughts_are_no_part_of_an_answer() -> None:
    """This includes thoughts before the answer, thoughts in a field of their own, and thoughts without an answer."""
    thinking = [chunk({"reasoning_content": "Hm.", "reasoning": "Hm."}), chunk({"content": "\n<t"})]
    said = [*thinking, chunk({"content": "hink>I should greet.</think>\n"}), chunk({"content": "\nHello."})]
    assert put_together(said) == [Text("Hello.")]
    assert put_together([*thinking, chunk({"content": "hink>I should"})]) == []
    assert put_together([chunk({"content": "<th"})]) == [Text("<th")]


def test_the_thoughts_before_a_call_go_back_with_it() -> None:
    """Fragments of one thought are joined. Fields that only one vendor knows come back unchanged."""
    details = [
        {"type": "reasoning.text", "text": "I sh", "format": "a-v1", "index": 0},
        {"type": "reasoning.text", "text": "ould \ud83d", "index": 0},
        {"type": "reasoning.text", "text": "\ude00", "signature": "s1", "format": None, "index": 0},
        {"type": "reasoning.encrypted", "data": "e1", "id": "c1", "index": 1},
        {"type": "reasoning.encrypted", "data": "e2"},
        {"type": "reasoning.encrypted", "data": "e3"},
    ]
    thinking = [chunk({"reasoning": "no", "reasoning_content": "no", "reasoning_details": [each]}) for each in details]
    (call,) = put_together([*thinking, call_chunk({"name": "a", "arguments": "{}"}, id="c1")])
    assert isinstance(call, ToolCall)
    whole = {"type": "reasoning.text", "text": "I should \U0001f600", "signature": "s1", "format": "a-v1", "index": 0}
    assert call.extra == {"vendor": "acme", "message": {"reasoning_details": [whole, *details[3:]]}, "call": {}}


def test_each_call_has_the_thoughts_and_its_signature() -> None:
    """The calls may be sent back in different messages. Google's signature may come with any fragment of a call."""
    signature = {"extra_content": {"google": {"thought_signature": "s1"}}}
    first, second, third = put_together(
        [
            chunk({"reasoning_content": "I should \ud83d"}),
            chunk({"reasoning_content": "\ude00"}),
            call_chunk({"name": "a", "arguments": "{"}, index=0, id="c1", **signature),
            call_chunk({"arguments": "}"}, index=0),
            call_chunk({"name": "b", "arguments": "{}"}, index=1, id="c2"),
            call_chunk({"name": "c"}, index=2, id="c3"),
            call_chunk({"arguments": "{}"}, index=3, **signature),
        ]
    )
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert isinstance(third, ToolCall)
    thoughts = {"reasoning_content": "I should \U0001f600"}
    whole = {"vendor": "acme", "message": thoughts, "call": signature}
    assert (first.extra, second.extra, third.extra) == (whole, {**whole, "call": {}}, whole)


def test_an_answer_in_one_piece_has_its_thoughts_too() -> None:
    """Some servers do not stream."""
    call = {"id": "c1", "function": {"name": "a", "arguments": "{}"}}
    message = {"reasoning_content": "Hm.", "tool_calls": [call]}
    answer = Answer("acme")
    assert not [*answer.take_whole(json.dumps({"choices": [{"index": 0, "message": message}]}).encode())]
    (found,) = answer.end()
    assert isinstance(found, ToolCall)
    assert found.extra["message"] == {"reasoning_content": "Hm."}


@pytest.mark.parametrize("bad", ["Hm.", [1], [{}], [{"type": "\ud83d"}], {"a": 1}])
def test_thoughts_in_another_form_are_lost_without_a_failure(bad: object) -> None:
    """The call is what counts."""
    (call,) = put_together([chunk({"reasoning_details": bad}), call_chunk({"name": "a", "arguments": "{}"})])
    assert isinstance(call, ToolCall)
    assert call.extra == {}


def test_a_character_may_be_cut_in_two() -> None:
    """Some servers end a chunk between the halves of an emoji. A single half is replaced, and causes no failure."""
    halves = [chunk({"content": "Hi \ud83d"}), chunk({"content": "\ude00!"}), chunk({"content": "\ude00?"})]
    assert put_together(halves) == [Text("Hi "), Text("\U0001f600!"), Text("\ufffd?")]
    cut_call = [call_chunk({"name": "a", "arguments": '{"x":"\ud83d'}), call_chunk({"arguments": '\ude00"}'})]
    (call,) = put_together(cut_call)
    assert isinstance(call, ToolCall)
    assert call.arguments == {"x": "\U0001f600"}


def test_a_second_choice_is_left_out() -> None:
    """If several answers are requested, only the first is spoken."""
    assert put_together([chunk({"content": "a"}), chunk({"content": "b"}, index=1)]) == [Text("a")]


def test_an_answer_needs_no_done_when_it_said_why_it_ended() -> None:
    """Some servers close the stream without it."""
    assert put_together([chunk({"content": "a"}, finish="length")], done=False) == [Text("a")]


def test_a_stream_that_breaks_off_is_an_error() -> None:
    """An incomplete answer does not count as complete."""
    with pytest.raises(ProviderError, match="not available") as caught:
        put_together([chunk({"content": "a"})], done=False)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None, "usage": 3},
        {"choices": [None, "text"]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": "none"}}]},
        {"choices": [], "usage": None},
    ],
)
def test_fields_of_an_unknown_shape_say_nothing(odd: dict[str, Any]) -> None:
    """Additional or missing fields of other servers cause no error."""
    assert put_together([odd, *saying("Hi").chunks])[0] == Text("Hi")


def test_an_event_without_data_says_nothing() -> None:
    """Some servers begin with how long to wait before connecting again."""
    assert put_together(["", *saying("Hi").chunks])[0] == Text("Hi")


@pytest.mark.parametrize("data", [" ", "[]", "3", "{", "<html>"])
def test_what_is_no_chunk_is_an_error(data: str) -> None:
    """A server with another protocol cannot be used."""
    with pytest.raises(ProviderError, match="acme is not available"):
        put_together([data])


@pytest.mark.parametrize(
    ("code", "type", "category"),
    [
        ("insufficient_quota", "insufficient_quota", "quota"),
        ("invalid_api_key", "invalid_request_error", "auth"),
        (None, "rate_limit_error", "rate"),
        ("rate_limit_exceeded", "tokens", "rate"),
        (429, "error", "rate"),
        ("502", "error", "unavailable"),
        (400, "error", "bad-request"),
        ("9" * 5000, "error", "unavailable"),
        (None, "timeout", "timeout"),
        ("context_length_exceeded", "invalid_request_error", "bad-request"),
        (None, "server_error", "unavailable"),
        (None, "error", "unavailable"),
    ],
)
def test_an_error_in_the_stream_has_its_category(code: str | int | None, type: str, category: str) -> None:
    """The status of the response is a success, so only the error object shows the failure."""
    with pytest.raises(ProviderError) as caught:
        put_together(failing(code, type).chunks)
    assert caught.value.category == category
    assert "words of a vendor" not in str(caught.value)


@pytest.mark.parametrize(
    "odd",
    [
        {"object": "error", "message": "words of a vendor", "type": "error", "code": 429},
        {"choices": [{"index": 0, "delta": {}, "error": {"code": 429, "message": "words of a vendor"}}]},
        {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 429}}]},
    ],
)
def test_an_error_may_stand_in_other_places(odd: dict[str, Any]) -> None:
    """An error does not count as an empty answer."""
    with pytest.raises(ProviderError) as caught:
        put_together([odd])
    assert caught.value.category == "rate"


def test_an_answer_that_ends_in_an_error_has_failed() -> None:
    """This is so even without further details."""
    with pytest.raises(ProviderError, match="not available"):
        put_together([chunk({}, finish="error")])


def test_an_error_may_be_a_sentence() -> None:
    """Some servers send no object."""
    with pytest.raises(ProviderError, match="not available"):
        put_together([{"error": "overloaded, come back later"}])


# ---- function calls --------------------------------------------------------------------------------------------------


def test_function_calls_come_whole_and_in_order() -> None:
    """An answer has two calls, each with its own id and arguments."""
    chunks = calling(("c1", "book", '{"nights": 2}'), ("c2", "greet", "")).chunks
    assert put_together(chunks)[:2] == [ToolCall("c1", "book", {"nights": 2}), ToolCall("c2", "greet", {})]


def test_a_call_without_an_id_is_given_one() -> None:
    """Its result must be distinguishable from those of other calls."""
    (first,) = put_together([call_chunk({"name": "greet"}, index=0)])
    (second,) = put_together([call_chunk({"name": "greet"}, index=0)])
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id
    assert first.id != second.id


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    """If a server does not count the calls, each begins with its id."""
    chunks = [
        call_chunk({"name": "a", "arguments": '{"x"'}, id="c1"),
        call_chunk({"arguments": ": 1}"}),
        call_chunk({"name": "b", "arguments": "{}"}, id="c2"),
    ]
    assert put_together(chunks) == [ToolCall("c1", "a", {"x": 1}), ToolCall("c2", "b", {})]


@pytest.mark.parametrize(
    "arguments",
    ["{", '{"x": NaN}', "[1]", "[]", '"x"', "3", "true", '{"x": 1} {"x": 2}', '{"x": 1,}', "x=1", "[" * 5000, [1], 3],
)
def test_arguments_that_are_no_json_object_are_reported_to_the_llm(arguments: Any) -> None:
    """The vendor has not failed. The model wrote them, and can write them again."""
    (call,) = put_together([call_chunk({"name": "book", "arguments": arguments}, index=0, id="c1")])
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("c1", "book", {})
    assert call.problem is not None
    assert "not a JSON object" in call.problem


@pytest.mark.parametrize("arguments", ["", "  \n", None, "null", " null ", "{}", {}, '"null"', '""', '"{}"'])
def test_arguments_that_say_nothing_are_none(arguments: Any) -> None:
    """Servers have many forms of a call without arguments."""
    (call,) = put_together([call_chunk({"name": "count", "arguments": arguments}, index=0, id="c1")])
    assert call == ToolCall("c1", "count", {})


@pytest.mark.parametrize("arguments", [{"x": [1]}, '{"x": [1]}', ' {"x":[1]}\n', json.dumps('{"x": [1]}')])
def test_arguments_may_be_an_object_or_text_encoded_twice(arguments: Any) -> None:
    """Some servers parse what the model wrote, and some models encode it twice."""
    (call,) = put_together([call_chunk({"name": "book", "arguments": arguments}, index=0, id="c1")])
    assert call == ToolCall("c1", "book", {"x": [1]})


A, B = '{"x": 1}', '{"x": 2}'


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        # two calls under one index, or under none, told apart by their ids or by their names
        ([(0, "c1", "a", A), (0, "c2", "a", B)], [("c1", "a", 1), ("c2", "a", 2)]),
        ([(0, "c1", "a", A), (0, "c2", "a", A)], [("c1", "a", 1), ("c2", "a", 1)]),
        ([(None, "", "a", A), (None, "", "b", B)], [(None, "a", 1), (None, "b", 2)]),
        ([(None, "", "a", A), (None, "", "a", B)], [(None, "a", 1), (None, "a", 2)]),
        ([(0, "", "a", '{"x"'), (0, "", "", ": 1}"), (0, "", "b", B)], [(None, "a", 1), (None, "b", 2)]),
        ([(None, "c1", "a", A), (None, "c2", "b", B)], [("c1", "a", 1), ("c2", "b", 2)]),
        # one id for two calls
        ([(0, "c1", "a", A), (1, "c1", "a", B)], [("c1", "a", 1), ("c1", "a", 2)]),
        ([(0, "c1", "a", A), (0, "c1", "a", B)], [("c1", "a", 1), ("c1", "a", 2)]),
        # fragments of calls without an index, mixed, told apart by their ids
        (
            [(None, "c1", "a", '{"x"'), (None, "c2", "b", '{"x"'), (None, "c1", "", ":1}"), (None, "c2", "", ":2}")],
            [("c1", "a", 1), ("c2", "b", 2)],
        ),
        # the same under one index
        (
            [(0, "c1", "a", ""), (0, "c2", "b", ""), (0, "c1", "", '{"x"'), (0, "c2", "b", B), (0, "c1", "a", ": 1}")],
            [("c1", "a", 1), ("c2", "b", 2)],
        ),
        # one function called twice, without ids
        (
            [(None, "", "a", ""), (None, "", "", A), (None, "", "a", ""), (None, "", "", B)],
            [(None, "a", 1), (None, "a", 2)],
        ),
        (
            [(0, "", "a", A), (0, "", "a", "{}"), (0, "", "", '{"x"'), (0, "", "", ":2}")],
            [(None, "a", 1), (None, "a", 2)],
        ),
        # an index as text or as a float
        (
            [("0", "c1", "a", ""), ("1", "c2", "b", ""), ("0", "", "", A), ("1", "", "", B)],
            [("c1", "a", 1), ("c2", "b", 2)],
        ),
        (
            [(0.0, "c1", "a", ""), (1.0, "c2", "b", ""), (0.0, "", "", A), (1.0, "", "", B)],
            [("c1", "a", 1), ("c2", "b", 2)],
        ),
        # a name in parts, and a new id with each fragment
        ([(0, "c1", "get_", None), (0, "", "name", ""), (0, "", "", A)], [("c1", "get_name", 1)]),
        ([(0, "c1", "a", ""), (0, "c2", "", A)], [("c1", "a", 1)]),
        # the last fragment under the next index: bare, with the id repeated, or with an id of its own
        ([(0, "c1", "a", '{"x": '), (1, "", "", "1}")], [("c1", "a", 1)]),
        ([(0, "c1", "a", '{"x": '), (1, "", "", "1"), (1, "", "", "}")], [("c1", "a", 1)]),
        ([(0, "c1", "a", '{"x": '), (1, "c1", "", "1}")], [("c1", "a", 1)]),
        ([(0, "c1", "a", '{"x": '), (0, "c2", "", "1"), (0, "c3", "", "}")], [("c1", "a", 1)]),
        # the id first, the name later
        ([(1, "c1", "", ""), (1, "", "a", ""), (1, "", "", A)], [("c1", "a", 1)]),
        # all of a call again at the end, or an empty object before its text
        ([(0, "c1", "a", '{"x":'), (0, "", "", " 1}"), (0, "c1", "a", A)], [("c1", "a", 1)]),
        ([(0, "c1", "a", A), (0, "", "", A)], [("c1", "a", 1)]),
        ([(0, "c1", "a", "{}"), (0, "", "", '{"x"'), (0, "", "", ": 1}")], [("c1", "a", 1)]),
        ([(0, "c1", "a", None), (0, "", "", A), (0, "", "", "")], [("c1", "a", 1)]),
        # each fragment repeats the arguments so far
        ([(0, "c1", "a", '{"x"'), (0, "", "", '{"x": 1'), (0, "", "", '{"x": 1}')], [("c1", "a", 1)]),
        ([(0, "c1", "a", "{"), (0, "c1", "a", '{"x":'), (0, "c1", "a", A), (0, "c1", "a", A)], [("c1", "a", 1)]),
        (
            [(0, "c1", "a", '{"x'), (0, "c1", "a", A), (1, "c2", "b", '{"x": '), (1, "c2", "b", B), (1, "", "", "")],
            [("c1", "a", 1), ("c2", "b", 2)],
        ),
        # white space is not part of a name
        ([(0, "c1", " a\n", A)], [("c1", "a", 1)]),
        # a fragment that says nothing is not a call
        ([(0, "c1", "a", A), (1, "", "", ""), (2, "c2", "", "")], [("c1", "a", 1)]),
        # no name at all: a call that can only be answered with the names there are
        ([(0, "c1", "", A)], [("c1", "unnamed", 1)]),
    ],
)
def test_fragments_are_put_together_however_a_server_labels_them(
    fragments: list[tuple[int | float | str | None, str, str, str | None]], expected: list[tuple[str | None, str, int]]
) -> None:
    """Each fragment is an index, an id, a name and arguments; each call an id (None for any), a name and x."""
    chunks: list[Any] = []
    for index, id, name, arguments in fragments:
        labels: dict[str, Any] = {} if index is None else {"index": index}
        chunks.append(call_chunk({"name": name, "arguments": arguments}, id=id, **labels))
    calls = [each for each in put_together(chunks) if isinstance(each, ToolCall)]
    assert [(each.name, each.arguments, each.problem) for each in calls] == [
        (name, {"x": x}, None) for _, name, x in expected
    ]
    assert all(each.id == id if id else each.id for each, (id, _, _) in zip(calls, expected, strict=True))


def test_an_id_may_be_a_number() -> None:
    """It becomes text, like every id."""
    chunks = [call_chunk({"name": "a"}, id=7), call_chunk({"name": "b"}, id=8), call_chunk({"arguments": A}, id=7)]
    assert put_together(chunks) == [ToolCall("7", "a", {"x": 1}), ToolCall("8", "b", {})]


def test_a_call_may_have_no_function_object() -> None:
    """Its name and arguments are then in the same object as its id."""
    assert put_together([chunk({"tool_calls": [{"id": "c1", "name": "a", "arguments": A}]})]) == [
        ToolCall("c1", "a", {"x": 1})
    ]


def test_the_older_function_call_is_a_call_unless_it_repeats_one() -> None:
    """Some servers send both forms of the same call."""
    old = [chunk({"function_call": {"name": "a"}}), *(chunk({"function_call": {"arguments": each}}) for each in A)]
    (call,) = put_together(old)
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("a", {"x": 1})
    assert put_together([*old, call_chunk({"name": "a", "arguments": A}, index=0, id="c1")]) == [
        ToolCall("c1", "a", {"x": 1})
    ]


def test_text_and_calls_may_share_a_chunk() -> None:
    """The text is spoken, and the function is called."""
    delta = {"content": "One moment.", "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "a"}}]}
    assert put_together([chunk(delta)]) == [Text("One moment."), ToolCall("c1", "a", {})]


def test_content_may_be_a_list_of_parts() -> None:
    """Only parts of the type text are spoken."""
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"}, {"type": "text", "text": "!"}]
    assert put_together([chunk({"content": parts})]) == [Text("Hello!")]


FRAGMENT = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, 2, None, "0", True, -1]),
        "id": st.sampled_from(["", "c1", "c2", None, 7]),
        "function": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["", "a", "b", None, 7]),
                "arguments": st.sampled_from(["", '{"x"', ": 1}", A, "{}", "null", None, {"x": 2}, [1], 3, "\ud800"]),
            },
        ),
    },
)


@given(st.lists(FRAGMENT, max_size=8))
def test_no_fragments_of_calls_are_a_failure(fragments: list[dict[str, Any]]) -> None:
    """Whatever a server sends, each call has an id, a name, and either arguments or a problem."""
    calls = put_together([chunk({"tool_calls": [each]}) for each in fragments])
    for each in calls:
        assert isinstance(each, ToolCall)
        assert each.id
        assert each.name
        assert each.problem is None or not each.arguments


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)
PLACES = st.lists(st.integers(0, 500), max_size=20)


@given(OBJECTS, PLACES, st.booleans(), st.booleans())
def test_any_cut_of_the_arguments_gives_the_same_call(
    arguments: dict[str, Any], places: list[int], ascii: bool, repeated: bool
) -> None:
    """Where a vendor cuts does not matter, nor whether it repeats the id and name with every sliver."""
    slivers = cut(json.dumps(arguments, ensure_ascii=ascii), places)
    first = call_chunk({"name": "book", "arguments": slivers[0]}, index=0, id="c1")
    name = {"name": "book"} if repeated else {}
    rest = [
        call_chunk({"arguments": each, **name}, index=0, **({"id": "c1"} if repeated else {})) for each in slivers[1:]
    ]
    assert put_together([first, *rest]) == [ToolCall("c1", "book", arguments)]


@given(OBJECTS, PLACES, st.booleans())
def test_fragments_that_repeat_the_arguments_so_far_give_the_same_call(
    arguments: dict[str, Any], places: list[int], repeated: bool
) -> None:
    """Some servers send all of the arguments so far with each fragment."""
    slivers = cut(json.dumps(arguments), places)
    labels: dict[str, Any] = {"index": 0, "id": "c1"} if repeated else {"index": 0}
    chunks = [call_chunk({"name": "book", "arguments": slivers[0]}, index=0, id="c1")]
    for count in range(2, len(slivers) + 1):
        function = {"arguments": "".join(slivers[:count]), **({"name": "book"} if repeated else {})}
        chunks.append(call_chunk(function, **labels))
    assert put_together(chunks) == [ToolCall("c1", "book", arguments)]


@given(st.lists(OBJECTS, min_size=2, max_size=4), PLACES, st.randoms(use_true_random=False))
def test_any_interleaving_of_calls_gives_the_same_calls(
    several: list[dict[str, Any]], places: list[int], random: Random
) -> None:
    """Slivers of several calls may come mixed, each call's own in order."""
    waiting: dict[int, list[str]] = {i: cut(json.dumps(each), places) for i, each in enumerate(several)}
    chunks = [call_chunk({"name": f"f{index}"}, index=index, id=f"c{index}") for index in waiting]
    while waiting:
        index = random.choice(list(waiting))
        chunks.append(call_chunk({"arguments": waiting[index].pop(0)}, index=index))
        if not waiting[index]:
            del waiting[index]
    assert put_together(chunks) == [ToolCall(f"c{i}", f"f{i}", each) for i, each in enumerate(several)]


# ---- bytes -----------------------------------------------------------------------------------------------------------

STREAM = "".join(
    f"data: {json.dumps(each, ensure_ascii=False)}{end}{end}"
    for each, end in zip(
        [chunk({"content": "Grüße, 世界 🏨"}), *calling(("c1", "book", '{"who": "Ünal"}')).chunks],
        ["\n", "\r\n"] * 100,
        strict=False,
    )
)
BYTES = f": ping\n\n{STREAM}data: [DONE]\n\n".encode()


class Slivers(httpx2.AsyncByteStream):
    """The body of a response, divided as given."""

    def __init__(self, slivers: list[bytes]) -> None:
        self._slivers = slivers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for each in self._slivers:
            yield each


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, len(BYTES)), max_size=30))
def test_any_cut_of_the_bytes_gives_the_same_pieces(places: list[int]) -> None:
    """Packets may end inside a line, a line ending or a character."""
    edges = sorted(places)
    slivers = [BYTES[start:end] for start, end in zip([0, *edges], [*edges, len(BYTES)], strict=True)]
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, stream=Slivers(slivers)))

    async def respond() -> list[LLMPiece]:
        async with connect("acme", Secret("key-of-a-test"), base_url="http://server/v1", transport=transport) as llm:
            return [piece async for piece in llm.respond(LLMRequest([]))]

    expected = [Text("Grüße, 世界 🏨"), ToolCall("c1", "book", {"who": "Ünal"}), Usage(12, 5, model="small-1")]
    assert anyio.run(respond) == expected
