"""The pizzeria bot, line by line as on the page."""

from __future__ import annotations

import pytest
from rtvi_plugins.testing import connect

from bot import pizzeria

pytestmark = pytest.mark.anyio


async def test_it_takes_an_order_and_answers_a_question_in_between() -> None:
    """It asks for what is missing, and lets the user change a value before it calls the function."""
    async with connect(pizzeria) as client:
        assert await client.ask("I would like a pizza.") == "Funghi or Margherita?"
        assert await client.ask("When do you open?") == (
            "We are open every day from noon to eleven. Which pizza, please?"
        )
        assert await client.ask("Funghi.") == "How many?"
        assert await client.ask("Two.") == "And what is your name?"
        assert await client.ask("Ada.") == "Two pizzas funghi for Ada, 18 euros. Shall I order?"
        assert await client.ask("No, three.") == "Three pizzas funghi for Ada, 27 euros. Shall I order?"
        assert await client.ask("Yes.") == "Thank you, Ada. Your number is 7."


async def test_it_orders_nothing_against_the_users_will() -> None:
    """Users may change their minds."""
    async with connect(pizzeria) as client:
        assert await client.ask("Can I order something?") == "Funghi or Margherita?"
        assert await client.ask("Never mind.") == "All right, I have not ordered anything."
        assert await client.ask("Blue green seven") == "You can order a pizza, or ask when we are open."
