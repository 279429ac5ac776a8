"""Conversations in turns."""

from __future__ import annotations

import pytest

from rtvi_plugins.context import Message
from rtvi_plugins_vendor import arguments_of, in_text_turns, in_turns, text_of

USER: Message = {"role": "user", "content": "a"}
ASSISTANT: Message = {"role": "assistant", "content": "b"}
SYSTEM: Message = {"role": "system", "content": "s"}
BEGINS, CONTINUE = ("user", ["(The conversation begins.)"]), ("user", ["(Please go on.)"])


def parts(message: Message) -> list[str]:
    """Return the text of a message as its part."""
    return [text_of(message["content"])] if message["content"] else []


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], ("", [BEGINS])),
        ([SYSTEM], ("s", [BEGINS])),
        ([SYSTEM, {"role": "developer", "content": "d"}, USER], ("s\n\nd", [("user", ["a"])])),
        ([USER, USER], ("", [("user", ["a", "a"])])),
        ([ASSISTANT, USER], ("", [BEGINS, ("assistant", ["b"]), ("user", ["a"])])),
        ([USER, ASSISTANT], ("", [("user", ["a"]), ("assistant", ["b"]), CONTINUE])),
        ([USER, SYSTEM, {"role": "tool", "content": "t"}], ("", [("user", ["a", "s", "t"])])),
        ([USER, {"role": "assistant", "content": None}, USER], ("", [("user", ["a", "a"])])),
    ],
)
def test_user_and_assistant_take_turns(messages: list[Message], expected: object) -> None:
    """The user speaks first and last."""
    assert in_turns(messages, parts, str) == expected


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}], "ab"),
    ],
)
def test_the_text_of_a_content(content: str | list[dict[str, object]] | None, text: str) -> None:
    """Parts that are not text are left out."""
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("arguments", "expected"), [('{"a": 1}', {"a": 1}), ("", {}), ("no JSON", {}), ("[1]", {}), (None, {})]
)
def test_the_arguments_of_a_call(arguments: object, expected: object) -> None:
    """Arguments that a model has written wrongly are empty."""
    assert arguments_of({"id": "c", "function": {"name": "f", "arguments": arguments}}) == expected
    assert arguments_of({"id": "c"}) == {}


def test_turns_of_text_calls_and_results() -> None:
    """Images and blank text are left out, and arguments that a model has written wrongly are empty."""
    function, spoilt = {"name": "f", "arguments": '{"a": 1}'}, {"name": "g", "arguments": "no JSON"}
    messages: list[Message] = [
        SYSTEM,
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
        {"role": "assistant", "content": " ", "tool_calls": [{"id": "1", "function": function}]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "content": "b", "tool_calls": [{"id": "2", "function": spoilt}]},
    ]
    assert in_text_turns(
        messages,
        text=lambda text: {"text": text},
        call=lambda id, name, arguments: {"id": id, "name": name, "arguments": arguments},
        result=lambda id, text: {"id": id, "result": text},
    ) == (
        "s",
        [
            ("user", [{"text": "a"}]),
            ("assistant", [{"id": "1", "name": "f", "arguments": {"a": 1}}]),
            ("user", [{"id": "1", "result": "done"}]),
            ("assistant", [{"text": "b"}, {"id": "2", "name": "g", "arguments": {}}]),
            ("user", [{"text": "(Please go on.)"}]),
        ],
    )
