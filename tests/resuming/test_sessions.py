"""A session continues after its connection or its process was lost: once, and with everything that it had."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from attrs import define, evolve, field

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Host, Limits, ManualClock
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.resuming import Changes, MemoryStore, Saved
from rtvi_plugins.session import Secret

from ..fakes.providers import WAIT, Fakes
from ..fakes.visitor import Visitor, visitor
from ..fakes.wire import OPERATOR, settle

pytestmark = pytest.mark.anyio


@define
class Order:
    """The order."""

    items: list[str] = field(factory=list[str])


#: The effects outside of the sessions, with their number, and the event that lets `slow` continue.
done = Counter[str]()
gates = dict[str, anyio.Event]()
resumed = list[bool]()


@bot(
    services={"llm": ["scripted", "other"]},
    config={"llm": {"messages": [{"role": "system", "content": "You sell rooms."}]}},
    client="""llm:get_context llm:append_to_messages llm.provider llm.tools bot:book bot:slow bot:look bot:ordered
    bot:report bot:busy bot:big""".split(),
    functions=["bot:book", "bot:slow"],
    state=Order,
    public=True,
)
async def clerk(session: Session[Order], /, llm: LLM) -> None:
    """A bot that sells rooms."""
    resumed.append(session.resumed)
    await converse(session, llm=llm, greeting="Good day.")


@action(clerk)
async def book(session: Session[Order], /, name: str) -> str:
    """Have an effect outside, and change the state."""
    done[name] += 1
    session.state.items.append(name)
    return f"booked {name}"


@action(clerk)
async def slow(session: Session, /, name: str) -> str:
    """Have an effect, and return when the test wants it."""
    done[name] += 1
    gates[name] = anyio.Event()
    await gates[name].wait()
    return f"slow {name}"


@action(clerk, repeatable=True)
async def look(session: Session, /, name: str) -> str:
    """Have no effect, and return when the test wants it."""
    return await slow(session, name)


@action(clerk, long=True)
async def report(session: Session, /, name: str) -> str:
    """Take long."""
    return await slow(session, name)


@action(clerk)
async def ordered(session: Session[Order], /) -> list[str]:
    """Return the state."""
    return session.state.items


@action(clerk)
async def busy(session: Session, /) -> None:
    """Send many events."""
    for number in range(600):
        session.send({"number": number})


@action(clerk)
async def big(session: Session, /) -> str:
    """Return a long answer, and have an effect."""
    done["big"] += 1
    return "x" * 70_000


@pytest.fixture(autouse=True)
def _clean() -> None:
    done.clear()
    gates.clear()
    resumed.clear()


class Counting(MemoryStore):
    """Counts the writes. It can fail, and it can be durable."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.written = list[dict[str, str | None]]()
        self.down = False
        self._durable = durable

    @property
    def durable(self) -> bool:  # type: ignore[override]
        """Whether it is durable, as the test wants."""
        return self._durable

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        """Count, or fail."""
        if self.down:
            raise OSError("no route to the store")
        self.written.append(dict(changes))
        await super().write(session, epoch, changes, seconds)

    def records(self) -> dict[str, dict[str, str]]:
        """The texts of all records."""
        return {id: each.state for id, each in self._records.items()}


class Slow(Counting):
    """Removes records only when the test opens the gate."""

    gate: anyio.Event | None = None

    async def forget(self, session: str, epoch: int | None = None) -> None:
        """Wait, and remove the record."""
        if self.gate is not None:
            await self.gate.wait()
        await super().forget(session, epoch)


class Sorted(MemoryStore):
    """Returns texts in another order, as databases do."""

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        """Sort the texts by their keys."""
        saved = await super().claim(session, owner, proof)
        return saved and evolve(saved, state=dict(sorted(saved.state.items())))


def host(
    store: MemoryStore | None,
    fakes: Fakes | None = None,
    clock: ManualClock | None = None,
    which: Any = clerk,
    limits: Limits | None = None,
    environ: dict[str, str] | None = None,
) -> Host:
    """A host, as one process has it."""
    return Host(
        which,
        modules=[fakes or Fakes()],
        clock=clock or ManualClock(),
        environ=environ or {},
        operator_secret=Secret(OPERATOR),
        store=store,
        address="here",
        limits=limits,
    )


def book_data(name: str) -> dict[str, Any]:
    """The data of a request that books a room."""
    return {"service": "bot", "action": "book", "arguments": [{"name": "name", "value": name}]}


# ---- a lost connection -----------------------------------------------------------------------------------------------


async def test_what_was_missed_comes_exactly_once() -> None:
    """Answers and events that were sent to a dead connection are sent again in order, after `bot-ready`."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        first = client.ready["about"]["resume"]
        assert (first["seconds"], first["revision"]) == (60, 1)
        assert await client.result("bot:book", name="a") == "booked a"
        slow = client.call("bot:slow", name="b")
        await settle()
        seen = len(client.events)
        client.lose()
        gates["b"].set()
        client.connection.session.send({"news": 1})
        await settle()
        assert slow not in client.answers
        await client.resume(one)
        assert await client.answer(slow) == "slow b"
        assert [each["data"] for each in client.events[seen:]] == [{"news": 1}]
        assert (client.unexpected, client.resent, client.waiting) == ([], [], {})
        assert done == {"a": 1, "b": 1}
        assert client.ready["about"]["resume"]["token"] != first["token"]
        assert resumed == [False]


async def test_a_connection_that_dies_again_and_again_misses_nothing() -> None:
    """The client may have received only a part of the missed messages, or not even `bot-ready`."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        session = client.connection.session
        seen = len(client.events)
        for number in range(3):
            session.send({"number": number})
        await settle()
        client.lose()
        session.send({"number": 3})
        await settle()
        # It comes back, but the connection is lost before anything arrives.
        half = await client.claim(one)
        half.receive(
            json.dumps(
                {
                    "label": "rtvi-ai",
                    "type": "client-ready",
                    "id": "x",
                    "data": {"version": "2.1.0", "waiting": [], "received": client.received},
                }
            )
        )
        await settle()
        half.disconnected()
        session.send({"number": 4})
        await settle()
        await client.resume(one)
        assert [each["data"]["number"] for each in client.events[seen:]] == [0, 1, 2, 3, 4]


async def test_a_new_connection_closes_the_one_before() -> None:
    """A connection may look alive long after its client has closed it."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        old, ended = client.connection, list[int]()
        old.on_end = lambda: ended.append(old.close_code)
        await client.resume(one)
        assert ended == [1012] == [old.close_code]
        assert old.closed
        old.receive('{"label": "rtvi-ai", "type": "disconnect-bot", "id": "1"}')
        old.disconnected()
        assert await client.result("bot:book", name="a") == "booked a"


async def test_a_published_client_gets_what_is_new() -> None:
    """It does not say what it has received, so nothing is sent again."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        await client.result("bot:book", name="a")
        client.lose()
        client.connection.session.send({"news": 1})
        await settle()
        seen = len(client.events)
        await client.resume(one, known=False)
        assert await client.result("bot:ordered") == ["a"]
        assert client.events[seen:] == []


async def test_more_than_is_kept_is_lost_but_no_answer() -> None:
    """512 texts are kept. Answers that the client waits for are sent in any case."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        slow = client.call("bot:slow", name="a")
        await settle()
        client.lose()
        gates["a"].set()
        await settle()
        for number in range(600):
            client.connection.session.send({"number": number})
            if number % 100 == 0:
                await settle()
        await settle()
        await client.resume(one)
        assert await client.answer(slow) == "slow a"
        assert client.events[-1]["data"] == {"number": 599}


async def test_an_answer_that_was_missed_is_no_request_that_was_not_received() -> None:
    """Refusals and descriptions are kept only among the texts that the client has missed."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        for type, data in (("action", {"service": "bot", "action": "bok"}), ("describe-actions", {})):
            id = client.send(type, data)
            client.lose()
            await settle()
            await client.resume(one)
            assert client.resent == []
            assert id in client.answers
        assert client.unexpected == []


async def test_a_client_may_wait_for_more_than_may_be_pending() -> None:
    """Refusals can be lost with their process. A request must have an answer nevertheless."""
    store, limits = MemoryStore(), Limits(in_flight=2)
    async with host(store, limits=limits) as one, host(store, limits=limits) as other, visitor() as client:
        await client.start(one)
        ids = [client.call("bot:book", name=f"{number}") for number in range(6)]
        client.lose()
        await settle()
        await client.resume(other)
        await settle()
        codes = [(await client.answer(id)).partition(" ")[0] for id in ids]
        assert codes == ["booked", "booked", "booked", "booked", "busy", "busy"]
        assert set(done.values()) == {1}


async def test_nobody_comes_back() -> None:
    """Then the session ends, and its record is removed."""
    store, clock = Counting(), ManualClock()
    async with host(store, clock=clock) as one, visitor() as client:
        await client.start(one)
        client.lose()
        clock.advance(59)
        await settle()
        assert one.open_sessions == 1
        clock.advance(2)
        await settle()
        assert one.open_sessions == 0
        assert store.records() == {}
        with pytest.raises(RequestError, match="has ended"):
            await client.resume(one)


async def test_who_leaves_on_purpose_leaves_nothing() -> None:
    """It sends a message, or the transport reports that it has left."""
    store = Counting()
    async with host(store) as one, visitor() as client, visitor() as other:
        await client.start(one)
        await other.start(one)
        client.connection.disconnected(left=True)
        other.send("disconnect-bot", {})
        await settle()
        assert (one.open_sessions, store.records()) == (0, {})


@pytest.mark.parametrize("same", [True, False])
async def test_a_session_that_has_ended_cannot_be_resumed(same: bool) -> None:
    """The client is told the end when the record is removed, also if the store is slow, or an action does not end."""
    store = Slow()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        slow = client.call("bot:slow", name="a")
        await settle()
        store.gate = anyio.Event()
        client.send("disconnect-bot", {})
        await settle()
        assert (client.connection.closed, slow in client.answers) == (False, False)
        codes: list[str] = []

        async def resume() -> None:
            codes.append(await refused(client, one if same else other, client.token))

        async with anyio.create_task_group() as tasks:
            if same:
                tasks.start_soon(resume)
                await settle()
                assert codes == []
            store.gate.set()
            await settle()
        assert (client.connection.closed, await client.answer(slow)) == (True, "session-closed")
        await resume()
        assert set(codes) == {"unknown-session"}


async def test_without_a_store_nothing_is_offered() -> None:
    """A lost connection ends the session at once."""
    async with host(None) as one, visitor() as client:
        await client.start(one)
        assert "resume" not in client.ready["about"]
        client.lose()
        await settle()
        assert one.open_sessions == 0


async def test_the_session_of_one_http_request_is_not_saved() -> None:
    """Nobody can resume it."""
    store = Counting()
    async with host(store) as one, visitor() as client:
        started = await one.start(None)
        connection = one.claim(started.token)
        connection.single_turn = True
        await client._connect(connection, {})  # pyright: ignore[reportPrivateUsage]
        assert await client.result("bot:book", name="a") == "booked a"
        client.lose()
        await settle()
        assert (one.open_sessions, store.written) == (0, [])


# ---- a lost process --------------------------------------------------------------------------------------------------


async def test_another_process_continues_where_the_first_one_was() -> None:
    """Config, revision, conversation, state, functions and answers are the same. The bot does not greet again."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one, {"room": 7})
        booked = client.call("bot:book", name="a")
        note = [{"role": "user", "content": "I have a dog."}]
        await client.result("llm:append_to_messages", messages=note)
        options = [{"name": "provider", "value": "other"}, {"name": "tools", "value": [{"name": "bark"}]}]
        await client.answer(client.send("update-config", {"config": [{"service": "llm", "options": options}]}))
        before, messages = await client.answer(client.send("get-config", {})), await client.messages()
        await client.resume(other)
        assert await client.answer(client.send("get-config", {})) == before
        assert before["revision"] == 2
        assert await client.messages() == messages
        assert await client.result("bot:ordered") == ["a"]
        session = client.connection.session
        assert session.start_data == {"room": 7}
        assert session.client.about == {"library": "test"}
        assert [each["name"] for each in session.context.functions] == ["bark"]
        assert resumed == [False, True]
        assert client.types().count("bot-started-speaking") <= 1
        assert [each["content"] for each in messages].count("Good day.") == 1
        # A request that is sent again is answered, and not run, again.
        client.waiting[booked] = ""
        client.send("action", {"service": "bot", "action": "book", "arguments": []}, id=booked)
        assert await client.answer(booked) == "booked a"
        assert done == {"a": 1}


async def test_the_oldest_answers_go_first_also_after_a_resume() -> None:
    """This is true for every order of keys in a store. A request that is sent again is not executed again."""
    store = Sorted()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)

        async def book_all(prefix: str, count: int) -> None:
            for number in range(count):
                client.send("action", book_data(f"{prefix}{number}"), id=f"{prefix}{number}")
                if number % 100 == 0:
                    await settle()
            await settle()

        await book_all("z", 250)
        await book_all("a", 50)
        await client.resume(other)
        await book_all("b", 20)
        await book_all("a", 50)
        assert len(done) == 320
        assert set(done.values()) == {1}


async def test_the_first_process_says_and_does_nothing_more() -> None:
    """It may only seem to be dead. If it continues, its requests have no effect, and it closes with 1012."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        old = client.connection
        await client.resume(other)
        old.receive(
            '{"label": "rtvi-ai", "type": "action", "id": "z", "data":'
            ' {"service": "bot", "action": "book", "arguments": [{"name": "name", "value": "zombie"}]}}'
        )
        await settle()
        assert done == {}
        assert (old.closed, old.close_code) == (True, 1012)
        assert one.open_sessions == 0
        assert await client.result("bot:book", name="a") == "booked a"
        client.lose()
        await client.resume(other)
        assert await client.result("bot:ordered") == ["a"]


async def test_what_was_under_way() -> None:
    """An effect that had begun is not repeated. Repeatable actions, and requests that never arrived, are sent again."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        begun, repeatable = client.call("bot:slow", name="a"), client.call("bot:look", name="b")
        await settle()
        lost = client.send("action", {"service": "bot", "action": "nothing", "arguments": []}, id="never-arrived")
        del client.waiting[lost]
        book = {"service": "bot", "action": "book", "arguments": [{"name": "name", "value": "c"}]}
        client.waiting["lost"] = json.dumps({"label": "rtvi-ai", "type": "action", "id": "lost", "data": book})
        await client.resume(other)
        await settle()
        gates["b"].set()
        assert await client.answer(begun) == "outcome-unknown"
        assert await client.answer(repeatable) == "slow b"
        assert await client.answer("lost") == "booked c"
        assert sorted(client.resent) == sorted([repeatable, "lost"])
        assert done == {"a": 1, "b": 2, "c": 1}
        client.waiting[begun] = ""
        client.send("action", {}, id=begun)
        assert await client.answer(begun) == "outcome-unknown"


async def test_a_long_answer_is_not_kept_but_its_effect_is_not_repeated() -> None:
    """Otherwise the record would grow without end."""
    store = MemoryStore()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        id = client.call("bot:big")
        assert len(await client.answer(id)) == 70_000
        client.waiting[id] = ""
        client.send("action", {"service": "bot", "action": "big", "arguments": []}, id=id)
        assert await client.answer(id) == "outcome-unknown"
        assert done == {"big": 1}


async def test_a_background_job_ends_with_its_process() -> None:
    """The client is told, and the numbers of jobs continue."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        assert await client.result("bot:report", name="a") == {"job": "job-1"}
        await settle()
        await client.resume(other)
        ends = [each["data"] for each in client.events if each["type"] == "server-message"]
        assert [(each["job"], each["action"], each["status"], each["code"]) for each in ends] == [
            ("job-1", "bot:report", "failed", "outcome-unknown")
        ]
        assert await client.result("bot:report", name="b") == {"job": "job-2"}
        assert done == {"a": 1, "b": 1}


async def test_a_text_is_told_only_when_it_is_saved() -> None:
    """So a client never has an answer that is lost later."""
    store = Counting()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        writes = len(store.written)
        await client.result("bot:book", name="a")
        before, after = store.written[writes:]
        assert set(before) == {next(key for key in before if key.startswith("begun/")), "time"}
        assert {"state", "time"} < set(after)
        assert next(text for key, text in after.items() if key.startswith("begun/")) is None


async def test_times_continue() -> None:
    """A resume does not make a session live longer, in its process or in another one."""
    store, limits = Counting(), Limits(session_seconds=100, idle_seconds=50)
    clocks = [ManualClock(), ManualClock()]
    async with (
        host(store, clock=clocks[0], limits=limits) as one,
        host(store, clock=clocks[1], limits=limits) as other,
        visitor() as client,
    ):
        await client.start(one)
        clocks[0].advance(40)
        await client.result("bot:ordered")
        (record,) = store.records().values()
        saved = json.loads(record["time"])
        assert (saved["left"], saved["idle"]) == (60, 0)
        record["time"] = json.dumps({**saved, "at": saved["at"] - 20})  # nobody had it for 20 s
        await client.resume(other)
        clocks[1].advance(25)
        await client.result("bot:ordered")
        clocks[1].advance(14)
        await settle()
        assert client.connection.closed is False
        clocks[1].advance(2)
        await settle()
        assert client.events[-1]["data"]["code"] == "session-too-long"


async def test_a_clock_that_is_minutes_ahead_refuses_no_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store knows for how long a session can be resumed, whatever the clocks of two machines say."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        assert await client.result("bot:book", name="a") == "booked a"
        ahead = time.time() + 180
        monkeypatch.setattr("rtvi_plugins.runtime.saved_sessions.time.time", lambda: ahead)
        await client.resume(other)
        assert await client.result("bot:ordered") == ["a"]


async def test_a_resume_is_no_activity_of_the_user() -> None:
    """Otherwise a session whose connection is lost now and then would never be idle."""
    clock, limits = ManualClock(), Limits(idle_seconds=50)
    async with host(MemoryStore(), clock=clock, limits=limits) as one, visitor() as client:
        await client.start(one)
        clock.advance(40)
        await client.resume(one)
        clock.advance(11)
        await settle()
        assert client.events[-1]["data"]["code"] == "session-idle"


async def test_a_release_shuts_down() -> None:
    """With a durable store, the sessions continue in another process. In memory they end with answers to all."""
    store = Counting(durable=True)
    async with visitor() as client:
        async with host(store) as one:
            await client.start(one)
            slow = client.call("bot:slow", name="a")
            await settle()
            client.connection.session.state.items.append("last")
        assert (client.connection.close_code, client.answers) == (1012, {})
        async with host(store) as other:
            await client.resume(other)
            assert await client.result("bot:ordered") == ["last"]
            assert await client.answer(slow) == "outcome-unknown"
            assert done == {"a": 1}
    async with visitor() as client:
        async with host(MemoryStore()) as one:
            await client.start(one)
            slow = client.call("bot:slow", name="b")
            await settle()
        assert await client.answer(slow) == "session-closed"


async def test_a_planned_end_waits_for_running_actions() -> None:
    """A session without an action moves at once, and the other one when its action has ended."""
    store = Counting(durable=True)
    async with host(store) as one, host(store) as other, visitor() as client, visitor() as resting:
        await client.start(one)
        await resting.start(one)
        slow = client.call("bot:slow", name="a")
        await settle()
        assert not one.move_sessions()
        assert (resting.connection.close_code, client.connection.closed) == (1012, False)
        gates["a"].set()
        assert await client.answer(slow) == "slow a"
        assert one.move_sessions()
        assert client.connection.close_code == 1012
        await client.resume(other)
        assert await client.result("bot:ordered") == []


async def test_a_new_release_takes_what_it_knows() -> None:
    """Options, providers or states that it does not know have their defaults again."""

    @bot(services={"llm": ["scripted"]}, client=["llm:get_context"], public=True)
    async def newer(session: Session, /, llm: LLM) -> None:
        """A bot with fewer options."""
        await converse(session, llm=llm)

    store = MemoryStore()
    async with host(store) as one, host(store, which=newer) as other, visitor() as client:
        await client.start(one, {"services": {"llm": "other"}})
        await client.result("bot:book", name="a")
        await client.resume(other)
        assert client.connection.session.providers == {"llm": "scripted"}
        assert (await client.messages())[0]["content"] == "You sell rooms."


# ---- conversations ---------------------------------------------------------------------------------------------------


def says(*answers: Sequence[Any]) -> Fakes:
    """Providers whose LLM says this."""
    return Fakes(*answers)


async def test_a_turn_starts_over_in_the_other_process() -> None:
    """The LLM repeats its whole answer. Text that was written meanwhile is answered too."""
    store = MemoryStore()
    async with (
        host(store, says([Text("It is "), WAIT])) as one,
        host(store, says([Text("It is noon.")])) as other,
        visitor() as client,
    ):
        await client.start(one)
        client.send("send-text", {"content": "What time is it?"})
        await settle()
        assert client.text() == "It is "
        await client.resume(other)
        await settle()
        assert client.text() == "It is It is noon."
        contents = [each["content"] for each in await client.messages()]
        assert contents[1:] == ["Good day.", "What time is it?", "It is noon."]


async def test_a_turn_continues_while_the_connection_is_lost() -> None:
    """The client gets the text when it is back."""
    fakes = Fakes([Text("It is "), Text("noon.")])
    async with host(MemoryStore(), fakes) as one, visitor() as client:
        await client.start(one)
        client.send("send-text", {"content": "What time is it?"})
        client.lose()
        await settle()
        assert client.text() == ""
        await client.resume(one)
        assert client.text() == "It is noon."
        assert client.types().count("bot-llm-stopped") == 1


async def test_a_function_of_the_llm_is_not_called_again() -> None:
    """The LLM reads that the outcome is not known."""
    store = MemoryStore()
    second = says([Text("I am not sure.")])
    async with (
        host(store, says([ToolCall("c1", "slow", {"name": "a"})])) as one,
        host(store, second) as other,
        visitor() as client,
    ):
        await client.start(one)
        client.send("send-text", {"content": "Book it."})
        await settle()
        assert done == {"a": 1}
        await client.resume(other)
        await settle()
        *_, asked, result = second.requests[0].messages
        assert [each["function"]["name"] for each in asked.get("tool_calls", ())] == ["slow"]
        assert "not known whether this was done" in str(result["content"])
        assert done == {"a": 1}
        assert client.text() == "I am not sure."


async def test_the_result_of_a_function_is_not_lost() -> None:
    """This is true although the turn that called it is started again."""
    store = MemoryStore()
    second = says([Text("It is booked.")])
    async with (
        host(store, says([ToolCall("c1", "book", {"name": "a"})], [WAIT])) as one,
        host(store, second) as other,
        visitor() as client,
    ):
        await client.start(one)
        client.send("send-text", {"content": "Book it."})
        await settle()
        await client.resume(other)
        await settle()
        results = [each["content"] for each in second.requests[0].messages if each["role"] == "tool"]
        assert results == ["booked a"]
        assert done == {"a": 1}


async def test_nothing_is_written_for_a_streamed_word() -> None:
    """Otherwise a store would need a write for each word or frame."""
    store = Counting()
    fakes = Fakes([Text(f"{number} ") for number in range(200)])
    async with host(store, fakes) as one, visitor() as client:
        await client.start(one)
        before = len(store.written)
        client.send("send-text", {"content": "Count."})
        await settle()
        assert client.text().split() == [str(number) for number in range(200)]
        assert len(store.written) - before < 6


# ---- who may come back -----------------------------------------------------------------------------------------------


async def refused(client: Visitor, where: Host, token: object) -> str:
    """The code of the refusal of a token."""
    with pytest.raises(RequestError) as raised:
        await where.start({"resume": token}, secret=OPERATOR)
    return raised.value.code


async def test_a_token_is_replaced_at_each_resume() -> None:
    """The token before is valid for half a minute, for a client that has not received the new one."""
    store, clock = MemoryStore(), ManualClock()
    async with host(store, clock=clock) as one, host(store, clock=clock) as other, visitor() as client:
        await client.start(one)
        first = client.token
        await client.resume(one)
        second = client.token
        await client.resume(one)
        assert await refused(client, one, first) == "unknown-session"
        assert await refused(client, other, first) == "unknown-session"
        assert (await one.start({"resume": second}, secret=OPERATOR)).session_id == client.connection.id
        clock.advance(31)
        await settle()
        assert await refused(client, one, second) == "unknown-session"
        assert await refused(client, other, second) == "unknown-session"
        await client.resume(other)
        assert await client.result("bot:ordered") == []


@pytest.mark.parametrize("token", [7, "", ".", "a.b", "x" * 300, "\ud800.\ud800", ["a.b"]])
async def test_what_is_no_token(token: object) -> None:
    """It is refused, and nothing is claimed."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one)
        id = client.token.partition(".")[0]
        assert await refused(client, one, token) == "unknown-session"
        assert await refused(client, one, f"{id}.wrong") == "unknown-session"
        assert await client.result("bot:ordered") == []


async def test_a_wrong_token_causes_no_write() -> None:
    """Anybody who knows the id of a session can send thousands."""
    store = Counting()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        await settle()
        before = len(store.written)
        assert await refused(client, one, f"{client.token.partition('.')[0]}.wrong") == "unknown-session"
        await settle()
        assert len(store.written) == before


async def test_a_wrong_token_does_not_fence_the_owner() -> None:
    """If somebody knows only the id of a session, for example from a log, they cannot change it."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        id = client.token.partition(".")[0]
        assert await refused(client, other, f"{id}.wrong") == "unknown-session"
        assert await client.result("bot:book", name="a") == "booked a"


async def test_a_client_without_a_token_may_send_null() -> None:
    """This is what a page has in its storage before its first session. The bot does not see the field."""
    async with host(MemoryStore()) as one, visitor() as client:
        await client.start(one, {"resume": None, "room": 7})
        assert client.connection.session.start_data == {"room": 7}


async def test_keys_and_tokens_are_not_stored() -> None:
    """The record has a hash of the token, and no key."""
    store, key = Counting(), "key-of-a-tenant-of-a-test"
    async with host(store) as one, visitor() as client:
        await client.start(one, {"api_keys": {"scripted": key}, "room": 7})
        await client.result("bot:book", name="a")
        stored = json.dumps(store.written)
        assert key not in stored
        assert client.token.partition(".")[2] not in stored
        assert json.loads(str(store.written[0]["start"])) == {"body": {"room": 7}, "trusted": True}


async def test_two_resumes_at_once_make_one_session() -> None:
    """A client that repeats its request gets the same session."""
    store = MemoryStore()
    async with host(store) as one, host(store) as other, visitor() as client:
        await client.start(one)
        found: list[str] = []

        async def resume() -> None:
            found.append((await other.start({"resume": client.token}, secret=OPERATOR)).session_id)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(resume)
        assert len(set(found)) == 1
        assert other.open_sessions == 1
        await client.resume(other)
        assert await client.result("bot:ordered") == []


# ---- the store does not answer ---------------------------------------------------------------------------------------


async def test_a_session_continues_without_its_store(caplog: pytest.LogCaptureFixture) -> None:
    """It is saved again when the store answers. Before, nobody can resume it elsewhere."""
    store, clock = Counting(), ManualClock()
    async with host(store, clock=clock) as one, host(store) as other, visitor() as client:
        await client.start(one)
        store.down = True
        assert await client.result("bot:book", name="a") == "booked a"
        assert await client.result("bot:book", name="b") == "booked b"
        clock.advance(1.5)
        await settle()
        store.down = False
        clock.advance(1.5)
        await settle()
        assert [each.message.partition(" ")[2].partition(" ")[2] for each in caplog.records] == [
            "is not saved at present: the store raised OSError: no route to the store",
            "is saved again",
        ]
        await client.resume(other)
        assert await client.result("bot:ordered") == ["a", "b"]


@pytest.mark.parametrize("moves", [False, True], ids=["first process", "second process"])
async def test_a_record_that_is_gone_after_an_outage_is_written_again(moves: bool) -> None:
    """It has expired, or the store has lost it. The call continues, and can be resumed with everything that it had."""
    store, clock = Counting(), ManualClock()
    async with host(store, clock=clock) as one, host(store, clock=clock) as other, visitor() as client:
        await client.start(one)
        if moves:
            await client.resume(other)
        assert await client.result("bot:book", name="a") == "booked a"
        before = await client.messages()
        store.down = True
        assert await client.result("bot:book", name="b") == "booked b"
        (session,) = store.records()
        await store.forget(session)
        store.down = False
        clock.advance(1.5)
        await settle()
        assert not client.connection.closed
        assert await client.result("bot:book", name="c") == "booked c"
        client.lose()
        async with host(store) as third:
            await client.resume(third)
            assert await client.result("bot:ordered") == ["a", "b", "c"]
            assert await client.messages() == before
        assert store.records() == {}


async def test_a_session_whose_record_is_gone_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As after a time in which its process was stopped. It ends: another process may have had it, and ended it."""
    caplog.set_level("INFO", "rtvi_plugins")
    store = Counting()
    async with host(store) as one, visitor() as client:
        await client.start(one)
        (session,) = store.records()
        await store.forget(session)
        client.call("bot:book", name="a")
        await settle()
        assert (client.connection.close_code, done) == (1012, {})
    assert [each for each in caplog.messages if f"session {session} ends in this process: " in each] == caplog.messages


async def test_a_session_that_went_on_elsewhere_during_an_outage_is_not_written_again() -> None:
    """The earlier owner ends as soon as it reaches the store."""
    store, clock = Counting(), ManualClock()
    async with host(store, clock=clock) as one, host(store) as other, visitor() as client:
        await client.start(one)
        old = client.connection
        store.down = True
        await client.result("bot:book", name="a")
        store.down = False
        await client.resume(other)
        clock.advance(1.5)
        await settle()
        assert (old.closed, old.close_code, one.open_sessions) == (True, 1012, 0)
        assert await client.result("bot:ordered") == []


# ---- what a client must not do ---------------------------------------------------------------------------------------


async def test_a_client_that_repeats_a_resume_does_not_lock_out_others() -> None:
    """A session waits for one connection, however often its client starts to resume it. The newest start is used."""
    async with host(MemoryStore(), limits=Limits(unclaimed=3)) as one, visitor() as client:
        await client.start(one)
        tokens = [(await one.start({"resume": client.token}, secret=OPERATOR)).token for _ in range(10)]
        await one.start(secret=OPERATOR)
        await client.resume(one)
        with pytest.raises(RequestError):
            one.claim(tokens[-1])
        assert await client.result("bot:ordered") == []
