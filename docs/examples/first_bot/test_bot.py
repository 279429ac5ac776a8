import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import connect

from bot import pizzeria

pytestmark = pytest.mark.anyio


async def test_an_order_has_a_price() -> None:
    """Two pizzas cost twice as much as one."""
    async with connect(pizzeria) as client:
        order = await client.action("bot:order", pizza="funghi", pieces=2)
    assert order == {"pizza": "funghi", "pieces": 2, "euros": 18}


async def test_there_is_no_pizza_hawaii() -> None:
    """The framework refuses a pizza that is not on the menu."""
    async with connect(pizzeria) as client:
        with pytest.raises(RequestError, match="margherita"):
            await client.action("bot:order", pizza="hawaii")


async def test_it_says_its_name() -> None:
    """The bot answers a typed question."""
    async with connect(pizzeria) as client:
        assert "Luigi" in await client.ask("Who are you?")
