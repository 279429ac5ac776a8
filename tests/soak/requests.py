"""Sessions under every fault there is, from a seed: each request is answered once, and nothing is left behind.

`nox -s soak` sends 100,000 requests on each backend, or from the root `python -m tests.soak.requests 100000 7`
with a seed of one's own. Each round is one session: a start, a mix of requests good and bad on a clock that is moved
by hand, a look at what was answered, and an end of one of several kinds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import trio
from attrs import define, field

from rtvi_plugins import RequestError
from rtvi_plugins.hosting import Host, Limits, ManualClock

from ..fakes.faults import fresh_faults
from ..fakes.faulty import WORDS, Ledger
from ..fakes.wire import OPERATOR, Wire, host_of, settle
from ..tools.patience import PATIENCE

__all__ = ("Outcome", "soak")

LIMITS = Limits(rate=100.0, burst=500, jobs=4, threads=4, outbox=400, session_seconds=200.0, idle_seconds=100.0)

BAD_STARTS: tuple[Any, ...] = (
    [],
    "start",
    {"services": {"llm": "nobody"}},
    {"services": {"llm": "broken"}},
    {"services": {"llm": []}},
    {"config": [{"service": "llm", "options": [{"name": "temperature", "value": 9}]}]},
    {"config": {"llm": {"model": "breaks"}}},
    {"config": {"tts": {"voice": "breaks"}}},
    {"api_keys": {"acme": 5}},
    {"grants": ["llm.model", {"name": "bot:echo", "arguments": 5}]},
)

GARBAGE = (
    "",
    "ping: 1700000000",
    "null",
    "[]",
    "{",
    '"text"',
    "\ud800",
    '{"label": "rtvi-ai"}',
    '{"label": "rtvi-ai", "type": "action", "id": 7, "data": {}}',
    '{"label": "rtvi-ai", "type": "action", "id": "", "data": {}}',
    '{"label": "rtvi-ai", "type": "get-config", "id": null}',
    "[" * 100 + "]" * 100,
    '"' + "x" * 70_000 + '"',
)

#: Arguments of actions, right and wrong; those of every other action are none.
ARGUMENTS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "bot:echo": (
        {"text": "a"},
        {"text": "b", "times": 3},
        {"text": 5},
        {},
        {"text": "c", "tims": 1},
        {"text": "d", "times": 99},
    ),
    "bot:count": ({"to": 2}, {"to": "two"}),
    "bot:cancel_job": ({"job": "job-1"}, {"job": "job-2"}, {"job": "job-3"}),
    "llm:append_to_messages": (
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"messages": "hi"},
    ),
    "tts:say": ({"text": "hello"}, {"text": "hello", "interrupt": True}, {}),
}

ACTIONS = """bot:echo bot:echo bot:echo bot:fail bot:fail_in_group bot:leave bot:be_rude bot:refuse
bot:ask_vendor bot:hang bot:hang_shortly bot:cling bot:cancel_itself bot:return_text bot:return_set
bot:return_infinity bot:return_circle bot:return_huge bot:return_half bot:return_nothing bot:think
bot:fail_in_thread bot:block bot:ask_client bot:interrupt bot:count bot:wait_long bot:fail_long
bot:return_set_long bot:cancel_job llm:die llm:name llm:name llm:append_to_messages llm:get_context llm:run
tts:say tts:interrupt bot:nothing vad:nothing""".split()

THREADED = "bot:think bot:block bot:fail_in_thread".split()

OPTIONS: tuple[dict[str, Any], ...] = (
    {"model": "large"},
    {"model": "small", "temperature": 1},
    {"engine": "large"},
    {"temperature": "hot"},
    {"temperature": 9},
    {"model": "breaks"},
    {"pace": "fast", "model": "breaks"},
    {"pace": "exits"},
    {"pace": "vendor"},
    {"pace": "fast"},
    {"provider": "first"},
    {"provider": "second"},
    {"provider": "second", "depth": 3},
    {"provider": "second", "depth": 13},
    {"provider": "broken"},
    {"provider": "nobody"},
    {"provider": ["first"]},
    {"run_on_config": True},
    {"run_on_config": False},
    {"messages": [{"role": "user", "content": "x"}]},
    {"nothing": 1},
)

VERSIONS: tuple[dict[str, Any], ...] = ({}, {"version": "1.0.0"}, {"version": "2.1.0", "about": {}}, {"version": []})


@define
class Outcome:
    """The result of a run."""

    requests: int = 0
    answers: int = 0
    sessions: int = 0
    refused: int = 0
    codes: Counter[str] = field(factory=Counter[str])


@define(eq=False)
class Round:
    """One session, and what its client expects. `due` counts the answers of each id, with "" for unusable ids."""

    wire: Wire
    ledger: Ledger
    random: random.Random
    due: Counter[str] = field(factory=Counter[str])
    quiet: set[str] = field(factory=set[str])
    threaded: set[str] = field(factory=set[str])

    async def act(self) -> None:
        """Do one thing that a client may do."""
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (50, self.call),
            (14, self.update),
            (6, self.ask),
            (5, self.inside),
            (5, self.write),
            (5, self.garbage),
            (4, self.answer_calls),
            (2, self.wait),
        )
        again = self.random.random() < 0.06
        await breathe(12 if again else self.random.choice((0, 0, 0, 1, 3)))
        if self.wire.connection.closed:
            return
        if again:
            self.repeat()
        else:
            self.random.choices([act for _, act in kinds], [weight for weight, _ in kinds])[0]()

    def owe(self, id: str) -> None:
        """Note that an answer to a request is expected."""
        self.due[id] += 1

    def call(self) -> None:
        """Call an action, with arguments that may be invalid."""
        name = self.random.choice(ACTIONS)
        id = self.wire.call(name, **self.random.choice(ARGUMENTS.get(name, ({},))))
        self.owe(id)
        if name in THREADED:
            self.threaded.add(id)

    def update(self) -> None:
        """Change the config. The change may be invalid or fail."""
        change: dict[str, dict[str, Any]] = {"llm": self.random.choice(OPTIONS)}
        if self.random.random() < 0.3:
            change["tts"] = {"voice": self.random.choice(("mute", "loud", "breaks", 5))}
        self.owe(self.wire.update(interrupt=self.random.random() < 0.3, **change))

    def ask(self) -> None:
        """Send a request for a description."""
        self.owe(
            self.wire.send(
                self.random.choice(("describe-actions", "describe-config", "get-config", "get-everything")), {}
            )
        )

    def inside(self) -> None:
        """Send a request in the form of clients of version 1.0 and later."""
        asked: tuple[Any, ...] = (
            {"t": "echo", "d": {"text": "a"}},
            {"t": "echo", "d": 5},
            {"t": "hang"},
            {"t": "get-config"},
            {"t": "update-config", "d": {"config": {"llm": {"pace": "fast"}}}},
            {"t": "action", "d": {"service": "bot", "action": "echo", "arguments": {"text": "b"}}},
            {"t": "nothing"},
            {"t": 5},
            None,
        )
        self.owe(self.wire.send("client-message", self.random.choice(asked)))

    def write(self) -> None:
        """Send a text, which is answered only if it is refused."""
        text, run = self.random.choice(("long", "short", 5)), self.random.random() < 0.5
        self.quiet.add(self.wire.send("send-text", {"content": text, "options": {"run_immediately": run}}))

    def garbage(self) -> None:
        """Send something that is not a message, or that has no id."""
        self.wire.connection.receive(self.random.choice(GARBAGE))
        self.owe("")

    def answer_calls(self) -> None:
        """Send the results of functions that the bot has called, or of an unknown one."""
        calls = [*self.wire.data_of("llm-function-call"), *self.wire.data_of("llm-function-call-in-progress")]
        ids = [call["tool_call_id"] for call in calls if self.random.random() < 0.5] or ["no such call"]
        for id in ids:
            self.quiet.add(self.wire.send("llm-function-call-result", {"tool_call_id": id, "result": {"seen": True}}))

    def wait(self) -> None:
        """Let time pass."""
        self.wire.clock.advance(self.random.choice((0.1, 1.0, 1.0, 5.0, 9.0)))

    def repeat(self) -> None:
        """Use an id again. This makes a new request only if the old one has been answered."""
        # An answer from a thread may come at any moment, so whether such a request still waits cannot be told.
        ids = [id for id in self.due if id and id not in self.threaded]
        if not ids:
            return
        id = self.random.choice(ids)
        waits = len(self.wire.answers(id)) < self.due[id]
        self.wire.send(self.random.choice(("get-config", "action", "nothing")), {}, id=id)
        if not waits:
            self.owe(id)

    # ---- the end -----------------------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """Release every thread, and let every deadline pass."""
        self.ledger.release.set()
        with anyio.fail_after(PATIENCE):
            while self.ledger.blocked["threads"]:
                await anyio.lowlevel.checkpoint()
        self.wire.clock.advance(9.0)
        await settle()

    def check(self) -> None:
        """Every request has had exactly one answer. A message that needs no answer has had at most one."""
        heard = Counter(each["id"] for each in self.wire.received if each.get("id") not in (None, "ready"))
        wrong = {id: (heard[id], due) for id, due in self.due.items() if heard[id] != due}
        assert not wrong, f"answers and those due: {wrong}, {self.wire.connection.close_reason!r}"
        assert all(heard[id] <= 1 for id in self.quiet)
        assert set(heard) <= self.due.keys() | self.quiet
        assert WORDS not in json.dumps(self.wire.received)

    async def check_alive(self) -> None:
        """The session still answers requests."""
        if self.wire.connection.closed:
            return
        self.wire.clock.advance(10.0)
        await settle()
        if not self.wire.connection.closed:
            assert await self.wire.result(self.wire.call("bot:echo", text="alive")) == "alive"

    def leave(self) -> None:
        """End the session in one of the possible ways, perhaps while requests are being handled."""
        for _ in range(self.random.choice((0, 0, 3))):
            self.call()
        way = self.random.choice(("leave", "ask", "action", "idle", "too long"))
        match way:
            case "leave":
                self.wire.connection.disconnected()
            case "ask":
                self.wire.send("disconnect-bot", {})
            case "action":
                self.wire.call("bot:end")
            case _:
                self.wire.clock.advance(LIMITS.idle_seconds if way == "idle" else LIMITS.session_seconds)


async def breathe(times: int) -> None:
    """Let the other tasks run for a moment."""
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


def tasks_alive() -> int:
    """Return how many tasks the event loop has."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


async def soak(requests: int, seed: int) -> Outcome:
    """Send at least this many requests, session after session. Raise at the first answer that breaks a promise."""
    outcome, rng, clock = Outcome(), random.Random(seed), ManualClock()
    before = tasks_alive()
    with fresh_faults() as faults:
        async with host_of(faults.faulty, limits=LIMITS, clock=clock) as host:
            while outcome.requests < requests:
                await bad_starts(host, clock, rng, outcome)
                await one_round(host, faults.ledger, clock, rng, outcome)
                await settle()
                assert host.open_sessions == 0, "a session was left open"
                assert not faults.ledger.open, f"services were left open: {faults.ledger.open}"
                assert not +faults.ledger.blocked, f"actions were left running: {faults.ledger.blocked}"
    await settle()
    assert tasks_alive() == before, "tasks were left behind"
    return outcome


async def bad_starts(host: Host, clock: ManualClock, rng: random.Random, outcome: Outcome) -> None:
    """Send starts that are refused, and sometimes one whose session no client connects to."""
    for body in rng.sample(BAD_STARTS, 2):
        try:
            await host.start(body, secret=OPERATOR)
        except RequestError as error:
            outcome.refused += 1
            outcome.codes[error.code] += 1
        else:
            raise AssertionError(f"the start {body!r} was not refused")
    if rng.random() < 0.2:
        await host.start({}, secret=OPERATOR)
        clock.advance(LIMITS.unclaimed_seconds)


async def one_round(host: Host, ledger: Ledger, clock: ManualClock, rng: random.Random, outcome: Outcome) -> None:
    """Run one session from its start to its end."""
    ledger.release, ledger.opened, ledger.closed = threading.Event(), [], []
    started = await host.start({"services": {"llm": rng.choice(("first", "second"))}}, secret=OPERATOR)
    wire = Wire(host, host.claim(started.token), clock)
    run = Round(wire, ledger, rng)
    reads = rng.random() < 0.95
    early = rng.randrange(20) if rng.random() < 0.3 else 0
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        if reads:
            tasks.start_soon(wire.listen)
        for turn in range(rng.randrange(20, 150)):
            if turn == early:
                wire.send("client-ready", rng.choice(VERSIONS), id="ready")
            await run.act()
        await finish(run, reads, outcome)
        wire.connection.disconnected()
        await settle()
        tasks.cancel_scope.cancel()
    outcome.sessions += 1


async def finish(run: Round, reads: bool, outcome: Outcome) -> None:
    """Check what was answered, unless nobody has read it, and end the session."""
    await run.come_to_rest()
    if reads:
        run.check()
        outcome.requests += run.due.total()
        outcome.answers += sum(len(run.wire.answers(id)) for id in run.due)
        outcome.codes.update(each["code"] for each in run.wire.data_of("error-response"))
        await run.check_alive()
    if not run.wire.connection.closed:
        run.leave()
        run.ledger.release.set()
        await settle()


def main() -> None:
    """Run on both backends, and print what was sent and answered."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    logging.getLogger("rtvi_plugins").setLevel(logging.CRITICAL)
    for backend in ("asyncio", "trio"):
        outcome = anyio.run(soak, requests, seed, backend=backend)
        print(backend, outcome)  # noqa: T201 - it is what the command is for


if __name__ == "__main__":
    main()
