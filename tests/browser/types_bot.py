"""A bot with an action for each row of the types reference, and for the types that the reference has in its text."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import anyio
from attrs import Factory, define, field
from attrs.validators import ge, le, matches_re, max_len, min_len
from typing_extensions import TypedDict

from rtvi_plugins import Doc, Session, action, bot

__all__ = ("TYPES", "typed")

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "types.md"


class Crust(Enum):
    """A crust, which clients see by its value."""

    THIN = "thin"
    DEEP = "deep"


@define
class Item:
    """A pizza."""

    size: Literal["small", "large"]
    count: Annotated[int, ge(1), le(20)] = 1
    crust: Crust = Crust.THIN
    toppings: list[Annotated[str, matches_re("[a-z ]+")]] = Factory(list[str])
    note: str | None = None


class Address(TypedDict):
    """Where to bring it."""

    street: Annotated[str, min_len(1), Doc("The street and the number.")]
    floor: NotRequired[int]


@define
class Order:
    """An order, which is an object with objects and arrays in it."""

    items: Annotated[list[Item], min_len(1)]
    address: Address | None = None
    paid: bool = False
    discounts: dict[str, float] = field(factory=dict[str, float])


def _rows() -> dict[str, Any]:
    """Return the types in the table of the reference, as they are written there."""
    table = REFERENCE.read_text("utf-8").partition("<!-- types -->\n")[2].strip().partition("\n\n")[0]
    names: dict[str, Any] = {"Literal": Literal, "Any": Any, "Sequence": Sequence, "Mapping": Mapping}
    first = [re.split(r"(?<!\\)\|", line)[1].strip().strip("`").replace("\\|", "|") for line in table.splitlines()[2:]]
    return {each: eval(each, names) for each in first}


#: Every type, by how it is written.
TYPES: Mapping[str, Any] = {
    **_rows(),
    "Crust": Crust,
    "Crust | None": Crust | None,
    "bool | None": bool | None,
    "float | None": float | None,
    "Item": Item,
    "Address": Address,
    "Order": Order,
    "Item | Address": Item | Address,
    "list[Item]": list[Item],
    "list[list[int]]": list[list[int]],
    "dict[str, Item]": dict[str, Item],
    "list[int] | None": list[int] | None,
    "list[str] | str": list[str] | str,
    "bounded": Annotated[float, ge(0), le(2)],
    "long": Annotated[str, max_len(500)],
}


@bot(client=[f"bot:type_{number}" for number in range(len(TYPES))], public=True)
async def typed(session: Session, /) -> None:
    """Returns every value that it is given."""
    await anyio.sleep_forever()


def _declare(number: int, name: str, annotation: Any) -> None:
    async def echo(value: Any) -> Any:
        return value

    echo.__annotations__ = {"value": annotation, "return": annotation}
    echo.__name__ = echo.__qualname__ = f"type_{number}"
    echo.__doc__ = f"Return a value of the type {name}."
    setattr(sys.modules[__name__], echo.__name__, action(typed)(echo))


for number, (name, annotation) in enumerate(TYPES.items()):
    _declare(number, name, annotation)
