import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing

from rtvi_plugins import LLM, Session, action, bot, converse, lifespan


class Menu:
    """The prices of a pizzeria, in a database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def price(self, pizza: str) -> float | None:
        """Return the price of a pizza."""
        row = self._database.execute("SELECT price FROM menu WHERE pizza = ?", [pizza]).fetchone()
        return row and float(row[0])


@lifespan
@asynccontextmanager
async def open_menu() -> AsyncGenerator[Menu]:
    """Open the database for all sessions."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE menu (pizza TEXT, price REAL)")
        database.execute("INSERT INTO menu VALUES ('margherita', 8.5)")
        yield Menu(database)


@bot(services={"llm": "rules"}, client=["bot:price"])
async def pizzeria(session: Session, menu: Menu, /, llm: LLM) -> None:
    """Knows the prices."""
    greeting = f"A margherita is {menu.price('margherita')} euros."
    await converse(session, llm=llm, greeting=greeting)


@action(pizzeria)
async def price(menu: Menu, /, pizza: str) -> float | None:
    """Return the price of a pizza."""
    return menu.price(pizza)
