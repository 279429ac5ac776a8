"""The class of a session's state: which classes are allowed, and where they may be named."""

from __future__ import annotations

from datetime import date
from typing import Any, NotRequired

import pytest
from attrs import define, field, frozen
from typing_extensions import TypedDict

from rtvi_plugins import Session, action, bot, options
from rtvi_plugins.declare.specs import BotSpec, specs_of
from rtvi_plugins.errors import DeclarationError


@define
class Pizza:
    """A part of the state."""

    name: str
    toppings: list[str] = field(factory=list[str])


@define
class Order:
    """The state of a session."""

    pizzas: list[Pizza] = field(factory=list[Pizza])
    address: str | None = None


class Cart(TypedDict, total=False):
    """The same state as a TypedDict."""

    products: list[str]


def declared(state: Any) -> BotSpec:
    """The declaration of a bot with this state."""

    async def order_line(session: Session, /) -> None: ...

    (spec,) = specs_of(bot(state=state)(order_line))
    assert isinstance(spec, BotSpec)
    return spec


def test_a_state_is_an_attrs_class_or_a_typed_dict() -> None:
    """Each session begins with its own object."""
    expected: list[tuple[Any, Any]] = [(Order, Order()), (Cart, {})]
    for state, begins in expected:
        spec = declared(state).state
        assert spec is not None
        assert spec.make() == begins
        assert spec.make() is not spec.make()
    assert declared(None).state is None


@define
class Needy:
    """A class with required fields."""

    name: str
    size: int
    note: str = ""


class NeedyCart(TypedDict):
    """A TypedDict with a required key."""

    products: list[str]
    note: NotRequired[str]


@define
class Dated:
    """A class with a date, which JSON does not have."""

    day: date = date(2026, 1, 1)


@define
class Derived:
    """A class with a field that is not stored."""

    total: float = field(init=False, default=0.0)


@define
class Failing:
    """A class that raises when an object is made."""

    name: str = field(factory=lambda: str(1 / 0))


@define
class Mistyped:
    """A class whose default has another type."""

    name: str = field(factory=int)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


@define
class Sharing:
    """A class with a list that all sessions would share."""

    names: list[str] = []  # noqa: RUF008


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (dict, "state= is an attrs class or a TypedDict, not dict."),
        (Order(), "state= is an attrs class or a TypedDict, not Order("),
        (Needy, "state=Needy begins without a value for 'name', 'size': give each field a default."),
        (NeedyCart, "state=NeedyCart begins without a value for 'products': write TypedDict, total=False."),
        (Dated, "state= is Dated, whose 'day' is date, which has no RTVI type."),
        (Derived, "state=Derived has 'total' with init=False, which would not be stored. Remove it."),
        (Failing, "state=Failing cannot begin: ZeroDivisionError: division by zero"),
        (Mistyped, "state=Mistyped begins with a value of another type: $.name: expected a string, got the number 0."),
        (Sharing, "state= is Sharing, whose 'names' has a default that holds a list"),
    ],
)
def test_a_class_that_cannot_be_a_state_is_refused(state: Any, problem: str) -> None:
    """It is refused at import, and the error says what to write instead."""
    with pytest.raises(DeclarationError) as raised:
        declared(state)
    assert "order_line() (" in str(raised.value)
    assert problem in str(raised.value)


@bot(state=Order)
async def pizzeria(session: Session[Order], /) -> None:
    """A bot with a state."""


@bot()
async def stateless(session: Session[Any], /) -> None:
    """A bot without a state."""


async def of_order(session: Session[Order], /) -> None:
    """Take the session of an order."""


async def of_cart(session: Session[Cart], /) -> None:
    """Take the session of a cart."""


def setting(session: Session[Order], /, name: str = "") -> None:
    """Take the session of an order."""


@pytest.mark.parametrize(
    ("declare", "function", "problem"),
    [
        (bot(), of_order, "takes Session[Order], but the bot declares no state. Write @bot(state=Order)."),
        (bot(state=Order), of_cart, "takes Session[Cart], but the state is Order. Write Session[Order]."),
        (action(pizzeria), of_cart, "takes Session[Cart], but the state of pizzeria() ("),
        (action(stateless), of_order, ") declares no state. Write @bot(state=Order)."),
        (action("bot"), of_order, "takes Session[Order], but serves all bots. Write Session."),
        (action("tts"), of_order, "takes Session[Order], but serves all bots. Write Session."),
        (options("tts"), setting, "takes Session[Order], but serves all bots. Write Session."),
    ],
)
def test_a_session_of_another_state_is_refused(declare: Any, function: Any, problem: str) -> None:
    """The annotation must name the state of the bot."""
    with pytest.raises(DeclarationError) as raised:
        declare(function)
    assert problem in str(raised.value)


def test_a_session_need_not_name_its_state() -> None:
    """Functions of a bot may name it."""

    async def plain(session: Session, /) -> None: ...

    action(pizzeria)(plain)
    action(pizzeria)(of_order)
    assert len(specs_of(plain)) == len(specs_of(of_order)) == 1


@frozen
class Unchanged:
    """A frozen class, whose objects can only be replaced."""

    turns: int = 0


def test_a_frozen_class_is_a_state() -> None:
    """The state is replaced, not changed."""
    assert declared(Unchanged).state is not None
