"""A scripted LLM, and the state of the session."""

import pytest
from attrs import define
from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.kinds import ToolCall
from rtvi_plugins.testing import ScriptedLLM, connect, fake_provider

pytestmark = pytest.mark.anyio


@define
class Table:
    """The table that the guest books."""

    guests: int = 0


@bot(services={"llm": "openai"}, config={"llm": {"temperature": 0.2}}, functions=["bot:book"], state=Table)
async def restaurant(session: Session[Table], /, llm: LLM) -> None:
    """Books tables."""
    await converse(session, llm=llm)


@action(restaurant)
async def book(session: Session[Table], /, guests: int) -> str:
    """Book a table."""
    session.state.guests = guests
    return "booked"


async def test_it_calls_a_function() -> None:
    """The script has a function call, and the answer to its result."""
    llm = ScriptedLLM(ToolCall("1", "book", {"guests": 2}), "Your table is booked.")
    async with connect(restaurant, fake_provider("llm.openai", llm)) as client:
        assert await client.ask("A table for two, please") == "Your table is booked."
        assert client.session.state == Table(guests=2)
    assert llm.requests[1].messages[-1]["content"] == "booked"
