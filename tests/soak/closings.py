"""Spoken sessions that are left at random moments, in this process: what they opened is closed, and no task goes on.

Several at once hold a conversation on one clock that is moved by hand, so that every moment of opening, listening,
thinking, speaking and acting is one in which a session may end.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable

import anyio
import anyio.lowlevel
import trio
from anyio.abc import TaskGroup
from attrs import define, field

from rtvi_plugins.hosting import Host, Limits, ManualClock, Started
from rtvi_plugins.kinds import Audio
from rtvi_plugins.runtime.session_life import LiveSession

from ..fakes.counted import Counted, talker
from ..fakes.providers import LINES, RATE, SERVICES, samples
from ..fakes.wire import OPERATOR, Wire, host_of, settle

__all__ = ("Closings", "close_at_random")

LIMITS = Limits(session_seconds=60.0, idle_seconds=30.0, unclaimed_seconds=5.0, unclaimed=16)

#: How many sessions are open at the same time.
AT_ONCE = 8

_TICK = 0.02  # seconds: a frame of audio
_LONGEST = 250  # ticks


@define
class Closings:
    """How many sessions were left, by what they were doing then, and what was still open at the end."""

    moments: Counter[str] = field(factory=Counter[str])
    services_opened: int = 0
    streams_opened: int = 0
    left: dict[str, int] = field(factory=dict[str, int])


@define(eq=False)
class Guest:
    """A client that leaves after this many ticks of the clock."""

    wire: Wire
    random: random.Random
    ticks: int
    reads: bool
    doing: str = "nothing"
    _line: int = 0
    _speech: int = 0  # ticks of it to come

    def tick(self) -> None:
        """Send what the microphone hears, and sometimes do something else."""
        if self.wire.connection.closed:
            self.ticks = 0
            return
        self.ticks -= 1
        self._speech = max(0, self._speech - 1)
        self._hear(self._line if self._speech else 0)
        if self.random.random() < 0.05:
            self._act()
        if self.ticks == 0:
            self._leave()

    def _hear(self, line: int) -> None:
        audio: Audio = samples(line, _TICK, 16_000)
        self.wire.connection.receive_audio(audio)

    def _act(self) -> None:
        wire = self.wire
        acts: dict[str, Callable[[], object]] = {
            "speaking": self._speak,
            "asking": lambda: wire.send("send-text", {"content": "Tell me a story.", "options": {}}),
            "calling": lambda: wire.call(self.random.choice(("bot:hang", "bot:hang_long"))),
            "being told": lambda: wire.call("tts:say", text="This is to be said.", interrupt=True),
            "interrupting": lambda: wire.call("tts:interrupt"),
            "switching": lambda: wire.update(llm={"provider": self.random.choice(SERVICES["llm"])}),
        }
        self.doing = self.random.choice(list(acts))
        acts[self.doing]()

    def _speak(self) -> None:
        self._line, self._speech = self.random.randrange(1, len(LINES)), self.random.randrange(10, 60)

    def _leave(self) -> None:
        ways: tuple[Callable[[], object], ...] = (
            self.wire.connection.disconnected,
            lambda: self.wire.send("disconnect-bot", {}),
            lambda: self.wire.call("bot:end"),
        )
        self.random.choice(ways)()


@define(eq=False)
class Hotel:
    """Clients come and leave, until this many have been there."""

    host: Host
    clock: ManualClock
    random: random.Random
    tasks: TaskGroup
    closings: Closings
    guests: list[Guest] = field(factory=list[Guest])

    async def run(self, sessions: int) -> None:
        """Run until all clients have left."""
        while self.guests or self.closings.moments.total() < sessions:
            if len(self.guests) < AT_ONCE and self.closings.moments.total() + len(self.guests) < sessions:
                await self._welcome()
            for each in self.guests:
                each.tick()
            night = self.random.random() < 0.001
            self.clock.advance(LIMITS.session_seconds if night else _TICK)
            for _ in range(self.random.choice((0, 1, 5, 20))):  # whatever is going on may be half done
                await anyio.lowlevel.checkpoint()
            self._count()

    def _count(self) -> None:
        for each in [each for each in self.guests if each.ticks == 0]:
            each.wire.connection.disconnected()
            self.guests.remove(each)
            self.closings.moments[each.doing] += 1

    async def _welcome(self) -> None:
        """A client connects, or starts a session without connecting, or does not even wait for the start's answer."""
        chance = self.random.random()
        if chance < 0.1:
            await self._give_up()
            self.closings.moments["opening"] += 1
            return
        started = await self.host.start({}, secret=OPERATOR)
        if chance < 0.2:
            self.closings.moments["unclaimed"] += 1
            return
        self._seat(started)

    def _seat(self, started: Started) -> None:
        wire = Wire(self.host, self.host.claim(started.token), self.clock)
        guest = Guest(wire, self.random, self.random.randrange(1, _LONGEST), self.random.random() < 0.9)
        if self.random.random() < 0.9:
            wire.connection.open_audio(RATE)
        if self.random.random() < 0.95:
            wire.send("client-ready", {"version": "2.1.0", "about": {}})
        if guest.reads:
            self.tasks.start_soon(wire.listen)
        self.guests.append(guest)

    async def _give_up(self) -> None:
        async with anyio.create_task_group() as starting:
            starting.start_soon(lambda: self.host.start({}, secret=OPERATOR))
            for _ in range(self.random.randrange(12)):
                await anyio.lowlevel.checkpoint()
            starting.cancel_scope.cancel()


async def close_at_random(sessions: int, seed: int) -> Closings:
    """Open this many sessions and leave them at random moments. Return the names of everything that stays open."""
    closings, clock, before = Closings(), ManualClock(), tasks_alive()
    gc.collect()
    remembered = sum(isinstance(each, LiveSession) for each in gc.get_objects())
    fakes = Counted()
    async with host_of(talker, fakes, limits=LIMITS, clock=clock) as host:
        serving = tasks_alive()
        async with anyio.create_task_group() as tasks:
            await Hotel(host, clock, random.Random(seed), tasks, closings).run(sessions)
            clock.advance(LIMITS.session_seconds)  # nobody comes for those that were never claimed
            await settle()
            gc.collect()
            closings.left = {
                "sessions": host.open_sessions,
                "sessions in memory": sum(isinstance(each, LiveSession) for each in gc.get_objects()) - remembered,
                "services": fakes.open.total(),
                **{f"streams of {kind}s": fakes.begun[kind] - fakes.ended[kind] for kind in ("llm", "stt", "tts")},
                "timers": int(clock.next_due() < float("inf")),
            }
            tasks.cancel_scope.cancel()
        await settle()
        closings.left["tasks of sessions"] = tasks_alive() - serving
    await settle()
    closings.left["tasks"] = tasks_alive() - before
    closings.services_opened, closings.streams_opened = fakes.opened, fakes.begun["stt"] + fakes.begun["tts"]
    return closings


def tasks_alive() -> int:
    """Return how many tasks the event loop has."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living
