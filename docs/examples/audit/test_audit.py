"""The plugin, passed to a bot without being installed."""

from __future__ import annotations

import pytest
from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.testing import connect

import rtvi_plugins_audit

pytestmark = pytest.mark.anyio


@bot(services={"llm": "rules"}, client=["llm:get_context", "audit:done_so_far"])
async def watched(session: Session, /, llm: LLM) -> None:
    """A bot with a record of actions."""
    await converse(session, llm=llm)


async def test_it_returns_the_actions() -> None:
    """The hook runs before the next action."""
    async with connect(watched, rtvi_plugins_audit) as client:
        await client.action("llm:get_context")
        assert await client.action("audit:done_so_far") == ["llm:get_context ok"]


async def test_it_forgets_a_session_at_its_end() -> None:
    """The record does not grow."""
    async with connect(watched, rtvi_plugins_audit) as client:
        await client.action("llm:get_context")
    assert not rtvi_plugins_audit.recorded
