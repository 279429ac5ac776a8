from typing import Annotated, Literal

from attrs import frozen
from attrs.validators import ge, le
from rtvi_plugins import LLM, Session, action, bot, converse


@bot(
    services={"llm": "rules"},
    config={"llm": {"messages": [{"role": "system", "content": "You are a pizzeria called Luigi."}]}},
    client=["bot:order"],
)
async def pizzeria(session: Session, /, llm: LLM) -> None:
    """Takes orders by text."""
    await converse(session, llm=llm)


@frozen
class Order:
    """An order and its price."""

    pizza: str
    pieces: int
    euros: int


@action(pizzeria)
async def order(
    session: Session, /, pizza: Literal["margherita", "funghi"], pieces: Annotated[int, ge(1), le(10)] = 1
) -> Order:
    """Order pizzas."""
    return Order(pizza, pieces, euros=9 * pieces)
