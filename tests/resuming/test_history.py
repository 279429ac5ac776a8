"""The history of a session is kept after its end, if the operator wants it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.errors import AuthorError, RequestError
from rtvi_plugins.hosting import Host, Limits, ManualClock
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.resuming import ENDED, HISTORY, OWNER, Changes, MemoryStore, SessionStore
from rtvi_plugins.session import Secret

from ..fakes.providers import WAIT, Fakes
from ..fakes.visitor import visitor
from ..fakes.wire import OPERATOR, settle

pytestmark = pytest.mark.anyio

gates = dict[str, anyio.Event]()


@bot(
    services={"llm": ["scripted", "other"]},
    client="llm:append_to_messages llm.provider bot:book bot:slow bot:fail bot:report bot:turn_off".split(),
    functions=["bot:book"],
)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot that sells rooms."""
    await converse(session, llm=llm, greeting="Good day.")


@action(clerk)
async def book(session: Session, /, name: str) -> str:
    """Book a room."""
    return f"booked {name}"


@action(clerk)
async def slow(session: Session, /, name: str) -> None:
    """Wait until the test says so."""
    gates[name] = anyio.Event()
    await gates[name].wait()


@action(clerk)
async def fail(session: Session, /) -> None:
    """Raise an exception with a private text."""
    raise RuntimeError("the password is 1234")


@action(clerk, long=True)
async def report(session: Session, /, name: str) -> None:
    """Take long."""
    await slow(session, name)


@action(clerk)
async def turn_off(session: Session, /) -> None:
    """Change the config from the bot."""
    await session.configure("llm", provider="scripted")


def host(
    store: SessionStore | None,
    *,
    keep_days: float = 1.0,
    resume_seconds: float = 60.0,
    fakes: Fakes | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
) -> Host:
    """A host, as one process has it."""
    return Host(
        clerk,
        modules=[fakes or Fakes()],
        clock=clock or ManualClock(),
        environ={},
        operator_secret=Secret(OPERATOR),
        store=store,
        keep_days=keep_days,
        resume_seconds=resume_seconds,
        limits=limits or Limits(),
    )


async def record(store: SessionStore) -> Mapping[str, str]:
    """The only record of a store."""
    (session,) = await store.sessions()
    found = await store.read(session)
    assert found is not None
    return found


async def history(store: SessionStore) -> list[dict[str, Any]]:
    """The history in the only record of a store, without the times."""
    found = await record(store)
    keys = sorted((key for key in found if key.startswith(HISTORY)), key=lambda key: int(key.removeprefix(HISTORY)))
    entries = [json.loads(found[key]) for key in [*keys, *[each for each in found if each == ENDED]]]
    times = [entry.pop(name) for entry in entries for name in ("at", "ended") if name in entry]
    assert all(each.endswith("+00:00") and len(each) == 29 for each in times)
    return entries


def called(name: str, outcome: str | None, /, **arguments: Any) -> dict[str, Any]:
    """The entry of an action that the client has called."""
    entry = {"type": "action", "by": "client", "action": name, "arguments": arguments}
    return entry if outcome is None else {**entry, "outcome": outcome}


async def test_what_happened_is_all_that_is_left() -> None:
    """It has who said what, each call with its end, and the config. Tokens, answers and the context are removed."""
    store = MemoryStore()
    async with host(store) as one, visitor() as client:
        await client.start(one, {"user": "ada"})
        assert await client.result("bot:book", name="a") == "booked a"
        assert await client.result("bot:fail") == "action-failed"
        options = [{"name": "provider", "value": "other"}]
        await client.answer(client.send("update-config", {"config": [{"service": "llm", "options": options}]}))
        await client.result("bot:turn_off")
        waits = client.call("bot:slow", name="b")
        await settle()
        client.send("disconnect-bot", {})
        await settle()
        assert one.open_sessions == 0
        assert waits in client.answers
    assert await history(store) == [
        {"type": "started", "bot": "clerk", "providers": {"llm": "scripted"}, "start": {"user": "ada"}},
        {"type": "said", "role": "assistant", "text": "Good day.", "interrupted": False},
        called("bot:book", "ok", name="a"),
        called("bot:fail", "action-failed"),
        {"type": "config", "by": "client", "changed": {"llm.provider": "other"}, "revision": 2},
        called("bot:turn_off", "ok"),
        {"type": "config", "by": "bot", "changed": {"llm.provider": "scripted"}, "revision": 3},
        called("bot:slow", "session-closed", name="b"),
        {"type": "ended", "code": ""},
    ]
    left = await record(store)
    assert [key for key in left if not key.startswith(HISTORY)] == [ENDED]
    assert "1234" not in str(left)


async def test_nothing_is_kept_unless_the_operator_wants_it() -> None:
    """No history is written, and the record is removed at the end."""
    store = MemoryStore()
    async with host(store, keep_days=0) as one, visitor() as client:
        await client.start(one)
        assert await client.result("bot:book", name="a") == "booked a"
        assert await history(store) == []
        client.send("disconnect-bot", {})
        await settle()
    assert await store.sessions() == []


async def test_a_session_that_has_ended_cannot_be_resumed() -> None:
    """The history is kept, but its record has no owner and no token, so no store lets anybody claim it."""
    store = MemoryStore()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        (session,) = await store.sessions()
        tokens = [key for key in await record(store) if key.startswith("token/")]
        client.send("disconnect-bot", {})
        await settle()
        with pytest.raises(RequestError, match="has ended"):
            await client.resume(one)
        assert await store.owner(session) is None
        assert [await store.claim(session, "me", each) for each in (*tokens, ENDED)][:-1] == [None] * len(tokens)


async def test_a_session_whose_process_was_lost_cannot_be_resumed_for_as_long_as_its_history_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only for as long as without a history. The entries that it has written are kept."""
    store = MemoryStore()
    async with host(store) as lost, host(store) as other, visitor() as client:
        await client.start(lost)
        later = time.time() + 2 * 60 + 3
        monkeypatch.setattr("rtvi_plugins.runtime.saved_sessions.time.time", lambda: later)
        with pytest.raises(RequestError, match="has ended"):
            await client.resume(other)
        assert [each["type"] for each in await history(store)] == ["started", "said"]


async def test_the_history_continues_in_another_process() -> None:
    """An action that was running has no outcome. Its arguments were written before it began."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        begun = client.call("bot:slow", name="a")
        await settle()
        assert called("bot:slow", None, name="a") in await history(store)
        await client.resume(other)
        assert await client.answer(begun) == "outcome-unknown"
        assert await client.result("bot:book", name="b") == "booked b"
        client.send("disconnect-bot", {})
        await settle()
        gates["a"].set()
        await settle()
    assert (await history(store))[2:] == [
        called("bot:slow", None, name="a"),
        {"type": "resumed"},
        called("bot:book", "ok", name="b"),
        {"type": "ended", "code": ""},
    ]
    assert OWNER not in await record(store)


async def test_a_live_session_that_is_deleted_ends_and_leaves_nothing() -> None:
    """It ends at its next write, without an answer. Its client cannot resume it, and its end writes no history."""
    store = MemoryStore()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        (session,) = await store.sessions()
        await store.forget(session)
        waits = client.call("bot:book", name="a")
        await settle()
        assert waits not in client.answers
        assert (client.connection.closed, client.connection.close_code, one.open_sessions) == (True, 1012, 0)
        with pytest.raises(RequestError, match="has ended"):
            await client.resume(one)
        assert await store.sessions() == []


async def test_a_background_job_has_the_outcome_of_its_work() -> None:
    """It is not the outcome of the answer with the job's number."""
    store = MemoryStore()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        await client.result("bot:report", name="a")
        await client.result("bot:report", name="b")
        await settle()
        gates["a"].set()
        await settle()
        client.connection.session.cancel_job("job-2")
        await settle()
    jobs = [each for each in await history(store) if each["type"] == "action"]
    assert jobs == [called("bot:report", "ok", name="a"), called("bot:report", "cancelled", name="b")]


async def test_the_functions_of_the_llm_and_what_was_heard() -> None:
    """An LLM calls a function, and the user interrupts its answer."""
    store = MemoryStore()
    fakes = Fakes([ToolCall("c1", "book", {"name": "c"})], [Text("Your room"), WAIT], [Text("Yes?")])
    async with host(store, fakes=fakes) as one, visitor() as client:
        await client.start(one)
        client.send("send-text", {"content": "A room, please."})
        await settle()
        client.send("send-text", {"content": "Stop."})
        await settle()
        client.send("disconnect-bot", {})
        await settle()
    function = {"type": "function", "by": "bot", "function": "book", "run_by": "bot"}
    assert (await history(store))[2:5] == [
        {"type": "said", "role": "user", "text": "A room, please.", "interrupted": False},
        {**function, "arguments": {"name": "c"}, "outcome": "ok"},
        {"type": "said", "role": "assistant", "text": "Your room", "interrupted": True},
    ]


async def test_arguments_that_are_too_long_are_left_out() -> None:
    """Otherwise an LLM could fill the disk."""
    store = MemoryStore()
    fakes = Fakes([ToolCall("c1", "book", {"name": "x" * 70_000})], [Text("It is booked.")])
    async with host(store, fakes=fakes) as one, visitor() as client:
        await client.start(one)
        client.send("send-text", {"content": "A room, please."})
        await settle()
        entry = next(each for each in await history(store) if each["type"] == "function")
        assert (entry["arguments"], entry["outcome"]) == (None, "ok")


async def test_a_session_whose_history_is_full_ends() -> None:
    """A client cannot fill the store, in one process or in several. Its last action is in the history."""
    store, clock = MemoryStore(), ManualClock()
    make = partial(host, store, clock=clock, limits=Limits(history_size=5_000))
    async with make() as one, make() as other, visitor() as client:
        await client.start(one)
        for _ in range(4):
            assert await client.result("bot:book", name="x" * 800) == f"booked {'x' * 800}"
        await client.resume(other)
        last = client.call("bot:slow", name="x" * 1_000)
        await settle()
        clock.advance(0.0)
        assert await client.answer(last) == "session-closed"
        await settle()
        assert other.open_sessions == 0
        assert client.connection.close_code == 1008
        with pytest.raises(RequestError, match="has ended"):
            await client.resume(other)
    assert (await history(store))[-2:] == [
        called("bot:slow", "session-closed", name="x" * 1_000),
        {"type": "ended", "code": "session-too-long"},
    ]


async def test_a_history_that_is_not_kept_ends_no_session() -> None:
    """The limit applies only to histories that are kept."""
    async with host(MemoryStore(), keep_days=0, limits=Limits(history_size=1)) as one, visitor() as client:
        await client.start(one)
        assert await client.result("bot:book", name="a") == "booked a"


class Timed(MemoryStore):
    """Notes how long each write keeps the record."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = list[float]()

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        """Note the time."""
        self.kept.append(seconds)
        await super().write(session, epoch, changes, seconds)


async def test_a_record_is_kept_for_as_long_as_the_operator_says() -> None:
    """The time begins with its last write. That is the write of its end, unless its process dies before."""
    store = Timed()
    async with host(store, keep_days=30) as one, visitor() as client:
        await client.start(one)
        before = len(store.kept)
        client.send("disconnect-bot", {})
        await settle()
        assert len(store.kept) > before
    assert set(store.kept) == {30 * 24 * 3600.0}


async def test_a_session_whose_client_is_lost_has_ended_without_it() -> None:
    """The history shows whether the client has left on purpose."""
    clock, lost, polite = ManualClock(), MemoryStore(), MemoryStore()
    async with host(lost, clock=clock) as one, host(polite, clock=clock) as two, visitor() as client:
        await client.start(one)
        client.lose()
        clock.advance(61)
        await settle()
        await client.start(two)
        client.send("disconnect-bot", {})
        await settle()
    assert (await history(lost))[-1] == {"type": "ended", "code": "not-resumed"}
    assert (await history(polite))[-1] == {"type": "ended", "code": ""}


@pytest.mark.parametrize(
    ("days", "store"), [(-1.0, MemoryStore()), (1e300, MemoryStore()), (float("inf"), MemoryStore()), (1.0, None)]
)
def test_days_that_cannot_be_are_refused(days: float, store: SessionStore | None) -> None:
    """A history without a store is refused too."""
    with pytest.raises(AuthorError, match="keep_days="):
        host(store, keep_days=days)


@pytest.mark.parametrize("seconds", [0.0, 1e300, float("inf"), float("nan")])
def test_a_time_to_resume_that_cannot_be_is_refused(seconds: float) -> None:
    """A store could not keep a session for so long."""
    with pytest.raises(AuthorError, match=r"resume_seconds= .* at most 31536000"):
        host(MemoryStore(), resume_seconds=seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_to_watch_that_cannot_be_is_refused(seconds: float) -> None:
    """With 0 seconds the watchdog would never rest."""
    with pytest.raises(AuthorError, match=r"watch= .* at most 31536000"):
        Host(clerk, modules=[Fakes()], environ={}, watch=seconds)
