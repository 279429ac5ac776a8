"""The context of a session: the messages of a turn stay together, whatever others add meanwhile."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.context import Context, Function, Message


def said(text: str) -> Message:
    """A message."""
    return {"role": "user", "content": text}


def texts(messages: Any) -> str:
    """The contents of all messages."""
    return "".join(str(each["content"]) for each in messages)


def context_of(written: str) -> Context:
    """A context with one message for each letter."""
    context = Context()
    context.append(*map(said, written))
    return context


def test_messages_are_kept_in_their_order() -> None:
    """A list that was returned does not change when messages are added."""
    context = context_of("ab")
    before = context.messages
    context.append(said("c"))
    assert (texts(before), texts(context.messages)) == ("ab", "abc")


def test_a_turns_messages_stand_before_what_came_while_it_ran() -> None:
    """The turn sees its own messages, and not the later ones."""
    context = context_of("a")
    point = context.reserve()
    assert context.insert(point, said("1"))
    context.append(said("b"))
    assert context.insert(point, said("2"), said("3"))
    assert texts(context.messages) == "a123b"
    assert texts(context.before(point)) == "a123"


def test_a_replaced_context_takes_nothing_of_the_turn_that_ran() -> None:
    """From then on, the turn sees the new messages."""
    context = context_of("a")
    point = context.reserve()
    context.insert(point, said("1"))
    context.replace([said("x")])
    assert not context.insert(point, said("2"))
    assert texts(context.messages) == texts(context.before(point)) == "x"


def test_a_new_turn_takes_the_place_of_the_one_before() -> None:
    """Messages of the old turn come too late."""
    context = context_of("a")
    old = context.reserve()
    new = context.reserve()
    assert not context.insert(old, said("1"))
    assert context.insert(new, said("2"))
    assert texts(context.messages) == "a2"


def test_a_context_is_told_with_its_tools() -> None:
    """They have the names that clients read. A change of the returned value changes nothing."""
    function: Function = {"name": "look"}
    context = context_of("a")
    context.functions = (function,)
    payload = context.to_json()
    assert payload == {"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "look"}]}
    payload["messages"].clear()
    assert texts(context.messages) == "a"


steps = st.lists(
    st.tuples(st.sampled_from(["append", "turn", "insert", "replace"]), st.sampled_from("abc")), max_size=20
)


@given(steps=steps)
def test_a_turns_messages_are_always_together(steps: list[tuple[str, str]]) -> None:
    """This is true for every order of events: they are together, before all later messages."""
    context, point = Context(), None
    before, own, after = "", "", ""
    for step, letter in steps:
        match step:
            case "append":
                context.append(said(letter))
                before, after = (before + letter, after) if point is None else (before, after + letter)
            case "turn":
                point = context.reserve()
                before, own, after = before + own + after, "", ""
            case "replace":
                context.replace([said(letter)])
                before, own, after, point = letter, "", "", None
            case _ if point is not None:
                assert context.insert(point, said(letter))
                own += letter
            case _:
                pass
        assert texts(context.messages) == before + own + after


@given(st.lists(st.sampled_from("append before turn amend prompt settle replace undo".split()), max_size=20))
def test_the_changed_messages_are_all_that_a_copy_needs(steps: list[str]) -> None:
    """A record of the session is such a copy."""
    context, copy = Context(), list[Message]()
    point = context.reserve()
    for number, step in enumerate(steps):
        messages, undo = context.messages, context.snapshot()
        match step:
            case "append":
                context.append(said(f"{number}"))
            case "before":
                context.append(said(f"{number}"), before=messages[number % len(messages)] if messages else None)
            case "turn":
                context.insert(point, {"role": "tool", "tool_call_id": "1", "content": "?"})
            case "amend":
                context.amend(messages[-1] if messages else said(""), f"{number}")
            case "prompt":
                context.set_prompt(f"{number}")
            case "settle":
                context.settle("1", "?", f"{number}")
            case "replace":
                context.replace([said(f"{number}")])
                point = context.reserve()
            case _:
                context.replace([said(f"{number}")])
                undo()
        changed = context.take_changed()
        copy[changed:] = map(deepcopy, context.messages[changed:])
        assert copy == list(context.messages)


def test_the_prompt_is_replaced_or_put_first() -> None:
    """The messages of a running turn do not move. The message of another session does not change."""
    shared = said("a")
    context = Context()
    context.append(shared)
    point = context.reserve()
    context.set_prompt("P")
    assert context.insert(point, said("b"))
    assert texts(context.messages) == "Pab"
    assert context.messages[0] == {"role": "system", "content": "P"}
    before, size = context.messages[0], context.size
    context.set_prompt("QQ")
    assert texts(context.messages) == "QQab"
    assert before["content"] == "P"
    assert context.size == size + 1


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("hi", r"\$\[0\]: expected an object with role and content, got a string"),
        ({"foo": 1}, r"\$\[0\]\.role: expected one of system, .*, got None"),
        ({"role": "x", "content": ""}, r"\.role: expected one of system, .*, got 'x'"),
        ({"role": "user"}, r"\.content: expected text or an array of parts, got null"),
        ({"role": "user", "content": 5}, r"\.content: expected text or an array of parts, got a number"),
        ({"role": "user", "content": ["hi"]}, r"\.content: expected text or an array of parts, got an array"),
        ({"role": "tool", "content": "done"}, r'\.tool_call_id: a message of role "tool" needs the id of its call'),
    ],
)
def test_only_messages_are_taken(message: Any, says: str) -> None:
    """Anything else would reach the LLM. The context is unchanged."""
    context = context_of("a")
    point = context.reserve()
    with pytest.raises(TypeError, match=f"This is not a message: .*{says}"):
        context.append(message)
    with pytest.raises(TypeError, match=says):
        context.insert(point, message)
    with pytest.raises(TypeError, match=says):
        context.replace([message])
    assert texts(context.messages) == "a"
