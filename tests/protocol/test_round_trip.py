"""`update-config` accepts what `describe-config` describes, and `get-config` returns it, for options of any type."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from sys import modules
from types import MappingProxyType, ModuleType
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rtvi_plugins import Grant, Session, bot, options
from rtvi_plugins.utils.json_values import is_array, is_object, json_problem

from ..declare.test_types import Typed, anything, types
from ..fakes.wire import Wire, connected

_numbers = count(1)


def immutable(value: Any) -> Any:
    """A JSON value as the default of a parameter."""
    if is_object(value):
        return MappingProxyType({name: immutable(each) for name, each in value.items()})
    return tuple(map(immutable, value)) if is_array(value) else value


def from_javascript(value: Any) -> Any:
    """A JSON value as JavaScript may write it: with its whole numbers, and in its order of names."""
    if is_object(value):
        return {name: from_javascript(each) for name, each in reversed(value.items())}
    if is_array(value):
        return [from_javascript(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


@contextmanager
def bot_with_options(annotation: Any, default: Any) -> Generator[tuple[Any, list[Any]]]:
    """A bot with two options of this type, and the values that they were set to. A client may only read the second."""
    name = f"declared_in_a_test_{next(_numbers)}"
    module = modules[name] = ModuleType(name)
    applied = list[Any]()

    async def described(session: Session, /) -> None: ...

    def set_both(session: Session, /, free: Any, fixed: Any) -> None:
        applied.append((free, fixed))

    set_both.__annotations__ |= {"free": annotation, "fixed": annotation}
    set_both.__defaults__ = (immutable(default), immutable(default))
    for each in (described, set_both):
        each.__module__ = name
    vars(module)["described"] = bot(client=["bot.free", Grant("bot.fixed", writable=False)], public=True)(described)
    vars(module)["set_both"] = options(described)(set_both)
    try:
        yield described, applied
    finally:
        del modules[name]


async def send_everything(wire: Wire, applied: list[Any], default: Any, other: Any) -> None:
    """Compare the descriptions with the values, send all values back, and set another one."""
    (described,) = (await wire.answer(wire.send("describe-config", {})))["data"]["config"]
    free = next(each for each in described["options"] if each["name"] == "free")
    assert free["default"] == default
    assert await wire.config() == {"bot": {"free": default, "fixed": default}}
    whole = (await wire.answer(wire.send("get-config", {})))["data"]["config"]
    for sent in (whole, from_javascript(whole)):
        assert (await wire.answer(wire.send("update-config", {"config": sent})))["type"] == "config"
    assert len(applied) == 1, "nothing has changed"
    accepted = (await wire.answer(wire.update(bot={"free": other})))["type"] == "config"
    schema: Any = Draft202012Validator(free["schema"])
    assert accepted == schema.is_valid(other)
    assert (await wire.config())["bot"]["free"] == (other if accepted else default)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(typed=types, data=st.data())
def test_an_option_is_described_set_and_read_alike(typed: Typed, data: st.DataObject) -> None:
    """The test sends the default, a value of the type, and any other value."""
    annotation, values = typed
    default, other = data.draw(values), data.draw(values | anything)
    assume(json_problem([default, other]) is None)

    async def run() -> None:
        with bot_with_options(annotation, default) as (described, applied):
            async with connected(described, modules[described.__module__]) as wire:
                await send_everything(wire, applied, default, other)

    anyio.run(run)
