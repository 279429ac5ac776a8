"""Conversations for servers that require that user and assistant alternate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins_openai._roles import alternating


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return a message as it is sent."""
    return {"role": role, "content": content, **more}


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKS = message("assistant", None, tool_calls=[CALL])
RESULT = message("tool", "seen", tool_call_id="c1")
BEGINS, CONTINUE = message("user", "(The conversation begins.)"), message("user", "(Please go on.)")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([message("user", "a"), message("user", "b")], [message("user", "a\n\nb")]),
        (
            [message("assistant", "Welcome."), message("user", "a")],
            [BEGINS, message("assistant", "Welcome."), message("user", "a")],
        ),
        ([], [BEGINS]),
        ([message("system", "s")], [message("system", "s"), BEGINS]),
        (
            [message("system", "s"), message("system", "t"), message("user", "a")],
            [message("system", "s\n\nt"), message("user", "a")],
        ),
        (
            [message("user", "a"), message("system", "s"), message("user", "b")],
            [message("user", "a\n\ns\n\nb")],
        ),
        (
            [message("user", "a"), message("assistant", "b"), message("assistant", "c")],
            [message("user", "a"), message("assistant", "b\n\nc"), CONTINUE],
        ),
        (
            [message("user", "a"), message("assistant", "One moment."), ASKS, RESULT],
            [message("user", "a"), message("assistant", "One moment.", tool_calls=[CALL]), RESULT],
        ),
        (
            [message("user", "a"), ASKS, RESULT, message("user", "b")],
            [message("user", "a"), ASKS, RESULT, message("assistant", "(No answer.)"), message("user", "b")],
        ),
        (
            [message("user", "a"), message("user", [{"type": "text", "text": "b"}])],
            [message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
        ),
        (
            [message("user", "a", name="ada"), message("user", "b", name="ada")],
            [message("user", "a\n\nb", name="ada")],
        ),
        ([message("user", "a", name="ada"), message("user", "b")], [message("user", "a\n\nb")]),
    ],
)
def test_messages_are_joined_and_missing_turns_put_in(
    messages: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    """In the order of the conversation."""
    assert alternating(messages) == expected


def is_accepted(messages: list[dict[str, Any]]) -> bool:
    """Return whether the strictest of templates accepts them."""
    roles = [each["role"] for each in messages]
    roles = roles[1:] if roles[0] == "system" else roles
    follows = {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}
    return roles[0] == "user" and roles[-1] != "assistant" and all(b in follows[a] for a, b in pairwise(roles))


WORDS = st.sampled_from(["a", "b", "c"])
SPOKEN = st.builds(message, st.sampled_from(["user", "assistant", "system"]), WORDS).map(lambda each: [each])
CALLED = st.just([ASKS, RESULT]) | st.just([{**ASKS, "tool_calls": [CALL, CALL]}, RESULT, RESULT])


@given(st.lists(SPOKEN | CALLED, max_size=8))
def test_any_conversation_becomes_one_that_takes_turns_and_loses_nothing(parts: list[list[dict[str, Any]]]) -> None:
    """This is true whatever the user interrupted, and whoever added messages."""
    messages = [each for part in parts for each in part]
    sent = alternating(messages)
    assert is_accepted(sent)
    said = [word for each in sent for word in (each["content"] or "").split("\n\n") if word and "(" not in word]
    assert said == [each["content"] for each in messages if each["content"]]
    assert sum(len(each.get("tool_calls", ())) for each in sent) == sum(len(m.get("tool_calls", ())) for m in messages)
