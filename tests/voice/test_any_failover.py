"""Random vendors that fail, hang and recover, under several sessions that write, interrupt and switch.

Whatever happens: no answer is made of two vendors, each failure is reported, nothing stays open, and once all vendors
work, each session has the provider that it has chosen.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest

from rtvi_plugins import LLM, Failover, Session, bot, converse
from rtvi_plugins.hosting import ManualClock

from ..fakes.conversation import failures
from ..fakes.vendors import HANG, Vendors, failure
from ..fakes.wire import Wire, connection_to, host_of, settle

pytestmark = pytest.mark.anyio

VENDORS = ("llm.a", "llm.b", "llm.d")
CATEGORIES = ("auth", "quota", "rate", "timeout", "unavailable", "no-answer", "bad-request")
FAULTS: list[Any] = [*map(failure, CATEGORIES), HANG, ""]


@bot(services={"llm": [Failover("a", "b"), Failover("d", "a", "b", seconds=3.0)]}, client=["llm.provider"], public=True)
async def typist(session: Session, /, llm: LLM) -> None:
    """A bot that answers in text."""
    await converse(session, llm=llm)


def answers(wire: Wire) -> list[str]:
    """The text of each answer of the LLM, or of each part of an answer that has ended."""
    found: list[str] = []
    for message in wire.received:
        if message["type"] == "bot-llm-started":
            found.append("")
        if message["type"] == "bot-llm-text":
            found[-1] += message["data"]["text"]
    return found


async def step(random: Random, vendors: Vendors, clock: ManualClock, wires: list[Wire]) -> None:
    """Take one step."""
    wire = random.choice(wires)
    match random.choice(["fault", "fault", "write", "write", "write", "wait", "wait", "interrupt", "switch"]):
        case "fault":
            faults = random.choice([vendors.before, vendors.before, vendors.after, vendors.opening])
            faults[random.choice(VENDORS)] = random.choice(FAULTS)
        case "write":
            wire.send("send-text", {"content": "go", "options": {}})
        case "interrupt":
            wire.connection.session.interrupt()
        case "switch":
            wire.update(llm={"provider": random.choice("ad")})
        case _:
            for _ in range(random.choice([1, 8, 40])):
                clock.advance(random.choice([0.25, 1.0]))
                await settle()
    if random.random() < 0.7:
        await settle()


@pytest.mark.parametrize("seed", range(8))
async def test_vendors_fail_at_random(seed: int) -> None:
    """Each run has a seed, so that a failure can be repeated."""
    random, vendors, clock = Random(seed), Vendors(), ManualClock()
    async with host_of(typist, vendors, clock=clock) as host, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connection_to(host, clock)) for _ in range(3)]
        for wire in wires:
            wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        for _ in range(60):
            await step(random, vendors, clock, wires)
        for wire in wires:
            assert all(answer.count("answers") <= 1 for answer in answers(wire)), answers(wire)
            failures(wire)  # none of them is the end of the session
        for faults in (vendors.before, vendors.after, vendors.opening):
            faults.clear()
        for _ in range(150):  # a change of provider may still be opening, and a turn may still hang
            clock.advance(1.0)
            await settle()
        for _ in range(3):
            clock.advance(301.0)
            for wire in wires:
                wire.connection.session.interrupt()
                wire.send("send-text", {"content": "go", "options": {}})
                await settle()
        for wire in wires:
            chosen = wire.connection.session.providers["llm"]
            assert answers(wire)[-1] == f"llm.{chosen} answers."
        assert host.failing_providers == {}
    await settle()
    assert set(vendors.open.values()) <= {0}
