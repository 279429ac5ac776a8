"""A session that continues after its process has ended."""

from pathlib import Path

import pytest
from attrs import define
from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.sqlite_store import SQLiteStore
from rtvi_plugins.testing import connect

pytestmark = pytest.mark.anyio


@define
class Order:
    """What the guest has ordered."""

    dishes: int = 0


@bot(services={"llm": "echo"}, client=["bot:order"], state=Order)
async def waiter(session: Session[Order], /, llm: LLM) -> None:
    """Takes orders."""
    await converse(session, llm=llm)


@action(waiter)
async def order(session: Session[Order], /, dishes: int) -> int:
    """Order more dishes, and return how many they are."""
    session.state.dishes += dishes
    return session.state.dishes


async def test_an_order_outlives_its_process(tmp_path: Path) -> None:
    """The second process has the state and the conversation of the first one."""
    file = tmp_path / "sessions.db"
    async with connect(waiter, store=SQLiteStore(file)) as client:
        assert await client.action("bot:order", dishes=2) == 2
        assert await client.ask("Two funghi") == "Two funghi"
        token = client.bot.data["about"]["resume"]["token"]
    async with connect(waiter, store=SQLiteStore(file), request={"resume": token}) as client:
        assert await client.action("bot:order", dishes=1) == 3
        assert [each["content"] for each in client.session.context.messages] == ["Two funghi", "Two funghi"]
