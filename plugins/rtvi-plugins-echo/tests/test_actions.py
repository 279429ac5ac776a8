"""The actions, called as plain functions."""

from __future__ import annotations

from typing import cast

import pytest

from rtvi_plugins import LLM, Session
from rtvi_plugins.context import Context
from rtvi_plugins_echo.actions import Everything, count_to, last_answer, say_back, say_back_types
from rtvi_plugins_echo.llm import EchoLLM

pytestmark = pytest.mark.anyio


class FakeSession:
    """The part of a session that these actions use."""

    def __init__(self) -> None:
        self.context = Context()
        self.reported: list[object] = []

    def progress(self, data: object) -> None:
        self.reported.append(data)


async def test_text_is_said_back_as_often_as_wanted() -> None:
    """The result is the text itself."""
    session = cast("Session", FakeSession())
    assert await say_back(session, "hi") == "hi"
    assert await say_back(session, text="hi", times=3) == "hi hi hi"


async def test_every_argument_has_a_default() -> None:
    """An action can be called without arguments."""
    assert await say_back_types(cast("Session", FakeSession())) == Everything("", 0, 0.0, False, "red", (), {})


async def test_counting_reports_each_number() -> None:
    """A long action reports its progress."""
    session = FakeSession()
    assert await count_to(cast("Session", session), 2) == 2
    assert session.reported == [{"counted": 1}, {"counted": 2}]


async def test_the_last_answer_is_the_newest_text_of_the_bot() -> None:
    """Function calls have no text, and are skipped."""
    session, llm = FakeSession(), cast("LLM", EchoLLM())
    assert await last_answer(llm, cast("Session", session)) == ""
    session.context.append({"role": "assistant", "content": "one"}, {"role": "assistant", "content": None})
    assert await last_answer(llm, cast("Session", session)) == "one"
