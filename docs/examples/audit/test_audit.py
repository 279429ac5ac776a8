"""The plugin, in a bot that it is given to without being installed."""

from __future__ import annotations

import pytest
from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.testing import connect

import rtvi_plugins_audit

pytestmark = pytest.mark.anyio


@bot(services={"llm": "rules"}, client=["llm:get_context", "bot:done_so_far"])
async def watched(session: Session, /, llm: LLM) -> None:
    """A bot whose doings are noted."""
    await converse(session, llm=llm)


async def test_what_was_done_is_told() -> None:
    """The hook has seen the action before the next one runs."""
    async with connect(watched, rtvi_plugins_audit) as client:
        await client.action("llm:get_context")
        assert await client.action("bot:done_so_far") == ["llm:get_context ok"]


async def test_a_session_is_forgotten_at_its_end() -> None:
    """Nothing piles up."""
    async with connect(watched, rtvi_plugins_audit) as client:
        await client.action("llm:get_context")
    assert not rtvi_plugins_audit.noted
