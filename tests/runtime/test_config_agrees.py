"""`get-config` returns the values that a service was last passed, whatever has happened before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

import anyio
import anyio.lowlevel
import pytest
from attrs import define, field
from attrs.validators import ge, le
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtvi_plugins import RequestError, Session, action, bot, options, service
from rtvi_plugins.kinds import Kind
from rtvi_plugins.session import UserText

from ..fakes.wire import Wire, connected, settle

Passed: TypeAlias = "dict[str, Any]"

#: The temperature and the pitch that no options function accepts.
REFUSED = 0.7

#: What the options functions of the kind were last passed, by session.
of_kind: dict[str, Passed] = {}


@runtime_checkable
class Gear(Protocol):
    """A kind of its own, so that it has options of its own."""

    def passed(self) -> Passed: ...


GEAR = Kind("gear", Gear)


@define(eq=False)
class LiveGear:
    """A service that keeps the values that it was passed. A `stuck` one accepts no more values."""

    provider: str
    values: Passed = field(factory=dict[str, Any])
    stuck: bool = False

    def passed(self) -> Passed:
        return {"provider": self.provider, **self.values}

    def take(self, **values: Any) -> None:
        self.values |= values
        if "jam" in values.values():
            self.stuck = True
        if REFUSED in values.values() or self.stuck:
            raise RuntimeError("refused")


async def _open(provider: str, checkpoints: int) -> LiveGear:
    for _ in range(checkpoints):
        await anyio.lowlevel.checkpoint()
    return LiveGear(provider)


@service(GEAR, "one")
@asynccontextmanager
async def one(checkpoints: int = 3) -> AsyncGenerator[LiveGear]:
    """A provider that opens quickly."""
    yield await _open("one", checkpoints)


@service(GEAR, "two")
@asynccontextmanager
async def two(checkpoints: int = 30) -> AsyncGenerator[LiveGear]:
    """A provider that opens slowly, so that turns begin and end meanwhile."""
    yield await _open("two", checkpoints)


@options(one, two)
def shared(gear: LiveGear, /, temperature: Annotated[float, ge(0), le(1)] = 0.5, model: str = "small") -> None:
    """The options of both providers."""
    gear.take(temperature=temperature, model=model)


@options(one)
def own(gear: LiveGear, /, style: str = "plain", pitch: float = 0.5) -> None:
    """The options of `one`. One of them overrides the option `pitch` of the kind."""
    gear.take(style=style, pitch=pitch)


@options(two)
def depth(gear: LiveGear, /, depth: int = 1) -> None:
    """The option of `two`."""
    gear.take(depth=depth)


@options(GEAR)
def kind(session: Session, /, pitch: float = 0.5, mood: str = "calm") -> None:
    """The options of the kind, which are passed to the session."""
    of_kind[session.id] = {"pitch": pitch, "mood": mood}
    if pitch == REFUSED:
        raise RuntimeError("refused")


@options(GEAR)
def volume(gear: Gear, session: Session, /, volume: float = 0.5) -> None:
    """The option of the kind in a group that takes the live service."""
    assert isinstance(gear, LiveGear)
    gear.take(volume=volume)


@action(GEAR)
async def passed(gear: Gear, session: Session, /) -> dict[str, Any]:
    """The values that the service and the session were last passed."""
    return {**of_kind[session.id], **gear.passed()}


@action("bot")
async def switch(session: Session, /, service: str, provider: str, interrupt: bool) -> str:
    """Switch a provider, as a bot does."""
    try:
        await session.switch(service, provider, interrupt=interrupt)
    except RequestError as error:
        return error.code
    return "done"


@action("bot")
async def interrupt(session: Session, /) -> bool:
    """Interrupt the turn."""
    return session.interrupt()


@runtime_checkable
class Lamp(Protocol):
    """Another kind, whose service cannot be switched."""

    def shine(self) -> None: ...


LAMP = Kind("lamp", Lamp)


@define(eq=False)
class LiveLamp(LiveGear):
    """A service of the other kind."""

    def shine(self) -> None: ...


@service(LAMP, "bulb")
@asynccontextmanager
async def bulb() -> AsyncGenerator[LiveLamp]:
    """The one provider of its kind."""
    yield LiveLamp("bulb")


@options(bulb)
def light(lamp: LiveLamp, /, brightness: float = 0.5, colour: str = "plain") -> None:
    """The option of a lamp."""
    lamp.take(brightness=brightness, colour=colour)


@action(bulb)
async def lit(lamp: LiveLamp, /) -> dict[str, Any]:
    """The value that the lamp was last passed."""
    return lamp.passed()


OF_GEAR = "temperature model style pitch depth mood volume provider".split()
GRANTS = [*(f"gear.{name}" for name in OF_GEAR), "lamp.brightness", "lamp.colour", "lamp.provider"]


@bot(
    services={"gear": ["one", "two"], "lamp": "bulb"},
    client=[*GRANTS, "gear:passed", "lamp:lit", "bot:switch", "bot:interrupt"],
    public=True,
)
async def geared(session: Session, /, gear: Gear, lamp: Lamp) -> None:
    """Hold a turn for each text: one that says "long" lasts until it is interrupted."""
    async for each in session.inputs():
        async with session.turn():
            try:
                if isinstance(each, UserText) and each.text == "long":
                    await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(5):
                        await anyio.lowlevel.checkpoint()


# ---- what may happen -----------------------------------------------------------------------------------------------

Step: TypeAlias = "tuple[Any, ...]"

GEARS: Sequence[Passed] = [
    *({"temperature": each} for each in (0.1, 0.5, 0.9, REFUSED)),
    *({"model": each} for each in ("small", "large")),
    *({"pitch": each} for each in (0.1, 0.9, REFUSED)),
    *({"mood": each} for each in ("calm", "merry")),
    *({"volume": each} for each in (0.1, 0.9, REFUSED)),
    {"style": "grand"},
    {"style": "jam"},
    {"depth": 3},
    {"mood": "merry", "pitch": REFUSED},
    {"temperature": 0.9, "style": "jam"},
]
LAMPS: Sequence[Passed] = [{"brightness": 0.9}, {"brightness": REFUSED}, {"colour": "red"}, {"colour": "jam"}]


@st.composite
def updates(draw: st.DrawFn) -> Step:
    """Updates of one service or of both. Most of them switch nothing and interrupt nothing."""
    gear, lamp = dict(draw(st.sampled_from(GEARS))), draw(st.sampled_from(LAMPS))
    if (provider := draw(st.sampled_from([None, None, "one", "two"]))) is not None:
        gear["provider"] = provider
    services = draw(st.sampled_from([{"gear": gear}, {"gear": gear}, {"lamp": lamp}, {"gear": gear, "lamp": lamp}]))
    return "update", services, draw(st.sampled_from([False, False, False, True]))


OTHERS: Sequence[Step] = [
    *(("switch", provider, interrupts) for provider in ("one", "two") for interrupts in (False, True)),
    *(("say", text) for text in ("long", "short")),
    ("interrupt",),
    ("settle",),
    *(("wait", checkpoints) for checkpoints in (1, 2, 4, 8)),
]
steps = updates() | st.sampled_from(OTHERS)


@st.composite
def interleavings(draw: st.DrawFn) -> list[Step]:
    """Steps. Most of them are within a turn, so that their changes wait for its end."""
    before = draw(st.lists(steps, max_size=2))
    inside = draw(st.lists(updates() | steps, min_size=2, max_size=6))
    return [*before, ("say", "long"), ("settle",), *inside]


SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
)


async def take(wire: Wire, step: Step) -> None:
    """Take one step."""
    match step:
        case ("update", services, interrupts):
            wire.update(interrupt=interrupts, **services)
        case ("switch", provider, interrupts):
            wire.call("bot:switch", service="gear", provider=provider, interrupt=interrupts)
        case ("say", text):
            wire.send("send-text", {"content": text, "options": {}})
        case ("interrupt",):
            wire.call("bot:interrupt")
        case ("wait", checkpoints):
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
        case _:
            await rest()


async def rest() -> None:
    """Let all tasks run until they wait, also those that are started meanwhile."""
    for _ in range(5):
        await settle()


async def disagreements(happened: Sequence[Step]) -> list[str]:
    """Return the differences between get-config and the services after these steps, when no turn is held."""
    async with connected(geared) as wire:
        for step in happened:
            await take(wire, step)
        await rest()
        wire.call("bot:interrupt")
        await rest()
        assert not wire.connection.closed
        config = await wire.config()
        gear, lamp = await wire.result(wire.call("gear:passed")), await wire.result(wire.call("lamp:lit"))
        found = {"gear": gear, "lamp": lamp}
        return [
            f"{service}.{name}: get-config says {value}, last passed was {found[service].get(name)}"
            for service, values in config.items()
            for name, value in values.items()
            if found[service].get(name) != value
        ]


BACKENDS = ["asyncio", "trio"]


@pytest.mark.parametrize("backend", BACKENDS)
@example(
    [
        ("say", "long"),
        ("settle",),
        ("update", {"gear": {"temperature": 0.9}}, False),
        ("update", {"gear": {"provider": "two", "temperature": 0.1}}, False),
    ]
)
@example(
    [
        ("say", "long"),
        ("settle",),
        ("update", {"gear": {"temperature": 0.9}}, False),
        ("switch", "two", True),
    ]
)
@example(
    [
        ("say", "long"),
        ("settle",),
        ("update", {"gear": {"volume": 0.9}}, False),
        ("update", {"gear": {"style": "jam"}}, False),
        ("switch", "two", False),
        ("wait", 8),
        ("interrupt",),
    ]
)
@example(
    [
        ("say", "long"),
        ("settle",),
        ("update", {"gear": {"volume": 0.9}}, False),
        ("update", {"gear": {"style": "jam"}}, False),
        ("update", {"gear": {"provider": "two"}}, False),
        ("wait", 8),
        ("interrupt",),
    ]
)
@example(
    [
        ("say", "long"),
        ("settle",),
        ("update", {"gear": {"pitch": REFUSED}}, False),
        ("update", {"gear": {"pitch": REFUSED, "provider": "two"}}, False),
    ]
)
@pytest.mark.slow
@given(interleavings())
@SETTINGS
def test_services_and_config_agree_after_any_interleaving(backend: str, happened: list[Step]) -> None:
    """There are updates, switches, interrupts and turn ends. Options functions refuse values. Services get stuck."""
    assert anyio.run(disagreements, happened, backend=backend) == []


@pytest.mark.anyio
async def test_a_refused_value_of_the_session_does_not_stay_in_the_config_after_a_switch() -> None:
    """The options function of the session refuses it at the turn boundary, when the new provider is in place."""
    async with connected(geared) as wire:
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        wire.update(gear={"provider": "two", "pitch": REFUSED})
        await rest()
        wire.call("bot:interrupt")
        await rest()
        assert wire.data_of("error")[0]["code"] == "apply-failed"
        assert (await wire.config())["gear"]["pitch"] == 0.5
        assert (await wire.result(wire.call("gear:passed")))["pitch"] == 0.5
