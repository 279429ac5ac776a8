"""Thoughts of a reasoning model before its answer are removed, wherever the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.thoughts import WithoutThoughts


def answer(*pieces: str) -> str:
    """The answer that is left of these pieces."""
    thoughts = WithoutThoughts()
    return "".join(thoughts.feed(each) for each in pieces) + thoughts.end()


LEFT_OUT = [
    ("<think>Hm.</think>Hello.", "Hello."),
    ("\n <think>\nHm.\n</think>\n\nHello <b>you</b>.\n", "Hello <b>you</b>.\n"),
    ("<THINK>a</Think> Hello.", "Hello."),
    ("<thinking>a < b</thinking>Hello.", "Hello."),
    ("<think></think>\n\nHello.", "Hello."),
    ("<think>a</think> <thought>b</thought> Hello.", "Hello."),
    ("[THINK]a[/THINK]Hello.", "Hello."),
    ("◁think▷a◁/think▷Hello.", "Hello."),
    ("</think>\nHello.", "Hello."),
    ("<think >Hm.</think >Hello.", "Hello."),
    ("<think\n>Hm.</thin k>Hm.</think\n>\nHello.", "Hello."),
    ("\ufeff<think>Hm.</think>\u200bHello.", "Hello."),
    ("\ufeff </think >\n\ufeffHello.", "Hello."),
    ("<think>\u0130\u0130</think>Hello.", "Hello."),
    ("<think>nothing but thoughts, without an end", ""),
    ("<think>nothing but thoughts</think>\n", ""),
    ("<think>cut off</th", ""),
]
KEPT = [
    "Hello.",
    "  Hello.",
    "",
    " \n",
    "<",
    "<th",
    "<3 you",
    "<think",
    "<think  ",
    "<think about it>",
    "<think" + " " * 9 + ">",
    "\ufeff",
    "\ufeffHello.",
    "<thin>air</thin>",
    "<b>Hello</b>",
    "A <think>b</think> c",
    "[thin ice]",
    "Hello.</think>",
]


@pytest.mark.parametrize(("text", "left"), [*LEFT_OUT, *((each, each) for each in KEPT)])
def test_blocks_of_thoughts_in_front_are_left_out_and_all_else_is_kept(text: str, left: str) -> None:
    """The text comes in one piece, and letter by letter."""
    assert answer(text) == left
    assert answer(*text) == left


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<thinking>", "</", "think", ">", "a", " ", "\n", "\ufeff", "<", ""]),
        max_size=9,
    )
)
def test_any_cut_of_a_text_leaves_the_same(pieces: list[str]) -> None:
    """The place of the cuts does not matter."""
    text = "".join(pieces)
    assert answer(*pieces) == answer(text) == answer(*text)


def test_text_is_given_as_soon_as_it_is_known_to_be_no_tag() -> None:
    """Thoughts are held back, but an answer is not."""
    thoughts = WithoutThoughts()
    assert [thoughts.feed(each) for each in ("<th", "ree of us", " <think>")] == ["", "<three of us", " <think>"]


def test_long_thoughts_take_no_memory() -> None:
    """Only the end of them is kept, because the closing tag may have begun there."""
    thoughts = WithoutThoughts()
    for each in ("<think>", *["hm " * 1000] * 100):
        assert thoughts.feed(each) == ""
    assert len(repr(thoughts)) < 500
