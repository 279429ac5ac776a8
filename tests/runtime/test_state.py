"""The state of a session: typed by the bot, and one for each session."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve, field

from rtvi_plugins import Session, action, bot, hookimpl
from rtvi_plugins.testing import connect

pytestmark = pytest.mark.anyio


@define
class Cart:
    """The content of a cart."""

    products: list[str] = field(factory=list[str])
    paid: bool = False


ended: list[Any] = []


@bot(state=Cart, client=["bot:add", "bot:cart", "bot:pay", "bot:break_it"], public=True)
async def shop(session: Session[Cart], /) -> None:
    """A bot whose sessions have a cart."""
    session.state.products.append("bag")


@action(shop)
async def add(session: Session[Cart], /, product: str) -> int:
    """Add a product."""
    session.state.products.append(product)
    return len(session.state.products)


@action(shop)
async def pay(session: Session[Cart], /) -> None:
    """Replace the state."""
    session.state = evolve(session.state, paid=True)


@action(shop)
async def cart(session: Session[Cart], /) -> Cart:
    """Return the state, as JSON."""
    return session.state


@action(shop)
async def break_it(session: Session, /) -> str:
    """Set the state to an object of another class, which the annotation does not allow."""
    with pytest.raises(TypeError) as raised:
        session.state = {"products": []}
    return str(raised.value)


@hookimpl
def session_closed(session: Session[Cart]) -> None:
    """Read the state at the end."""
    if session.start_data.get("watched"):
        ended.append(session.state)


async def test_each_session_has_a_state_of_its_own() -> None:
    """The bot, its actions and hooks share it."""
    ended.clear()
    async with connect(shop, operator={"watched": True}) as client, connect(shop) as other:
        assert await client.action("bot:add", product="tea") == 2
        await client.action("bot:pay")
        assert await client.action("bot:cart") == {"products": ["bag", "tea"], "paid": True}
        assert await other.action("bot:cart") == {"products": ["bag"], "paid": False}
    assert ended == [Cart(["bag", "tea"], paid=True)]


async def test_a_state_is_replaced_only_by_one_of_its_class() -> None:
    """A state of another class could not be restored."""
    async with connect(shop) as client:
        text = "The state of this session is of the class Cart, not dict."
        assert await client.action("bot:break_it") == text


problems: list[str] = []


@bot(public=True)
async def stateless(session: Session, /) -> None:
    """A bot that uses a state without declaring one."""
    problems.clear()
    with pytest.raises(RuntimeError) as raised:
        session.state.add("x")
    problems.append(str(raised.value))
    session.close(now=True)


async def test_a_bot_without_a_state_is_told_how_to_declare_one() -> None:
    """The error names the bot."""
    async with connect(stateless) as client:
        async for _ in client.events():
            pass
    (problem,) = problems
    assert "stateless() (" in problem
    assert "Write @bot(state=…)" in problem
