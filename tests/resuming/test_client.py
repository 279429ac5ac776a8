"""The Python client resumes by itself, over any stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ObjectStream
from attrs import define, field

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.client import Client, NoAnswer, open_client
from rtvi_plugins.errors import ServerFull, SessionClosed, UnknownSession
from rtvi_plugins.hosting import ConnectionStream, Host
from rtvi_plugins.kinds import Text
from rtvi_plugins.limits import Limits
from rtvi_plugins.resuming import MemoryStore

from ..fakes.providers import Fakes

pytestmark = pytest.mark.anyio

done: list[str] = []


@bot(client=["bot:book", "bot:slow", "bot:hang_up"], public=True)
async def desk(session: Session, /) -> None:
    """A bot that books."""
    await anyio.sleep_forever()


@action(desk)
async def book(name: str) -> str:
    """Have an effect."""
    done.append(name)
    return f"booked {name}"


@action(desk)
async def slow(session: Session, /, name: str) -> str:
    """Have an effect, report it, and return later."""
    done.append(name)
    session.send({"begun": name})
    await anyio.sleep(0.05)
    return f"slow {name}"


@action(desk)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close("that was all", now=True)


@pytest.fixture(autouse=True)
def _clean() -> None:
    done.clear()


class Cable(ObjectStream[str]):
    """A stream that can be cut. Texts of both directions are then lost, and the stream is broken.

    While it is frozen, it swallows what is sent.
    """

    def __init__(self, stream: ConnectionStream) -> None:
        self._stream = stream
        self._cut = anyio.Event()
        self.is_frozen = False
        self.sent = list[str]()
        self.swallowed = list[str]()

    async def cut(self) -> None:
        """Cut the connection on both sides."""
        self._cut.set()
        await self._stream.aclose()
        await anyio.lowlevel.checkpoint()

    async def send(self, item: str) -> None:
        if self._cut.is_set():
            raise anyio.BrokenResourceError
        if self.is_frozen:
            self.swallowed.append(item)
            return
        self.sent.append(item)
        await self._stream.send(item)

    async def receive(self) -> str:
        text: str | None = None
        async with anyio.create_task_group() as tasks:

            async def until_cut() -> None:
                await self._cut.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_cut)
            with suppress(anyio.EndOfStream):
                text = await self._stream.receive()
            tasks.cancel_scope.cancel()
        if self._cut.is_set():
            raise anyio.BrokenResourceError
        if text is None:
            raise anyio.EndOfStream
        return text

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()


@define(eq=False)
class Net:
    """The network to a host. It can be cut, and can refuse new connections."""

    host: Host
    cables: list[Cable] = field(factory=list[Cable])
    refusals: list[Exception] = field(factory=list[Exception])
    tokens: list[str] = field(factory=list[str])
    #: While a test holds it, no connection can be opened.
    is_down: anyio.Lock = field(factory=anyio.Lock)

    async def connect(self, body: object = None) -> Cable:
        """Start a session, or resume one."""
        started = await self.host.start(body)
        self.cables.append(Cable(ConnectionStream(self.host.claim(started.token))))
        return self.cables[-1]

    async def reconnect(self, token: str) -> Cable:
        """Resume the session, unless the network refuses it."""
        self.tokens.append(token)
        async with self.is_down:
            if self.refusals:
                raise self.refusals.pop(0)
        return await self.connect({"resume": token})


@asynccontextmanager
async def resuming(*, saves: bool = True) -> AsyncGenerator[tuple[Client, Net]]:
    """A client that resumes."""
    async with Host(desk, environ={}, store=MemoryStore() if saves else None) as host:
        net = Net(host)
        async with open_client(await net.connect(), reconnect=net.reconnect, delay=0.0) as client:
            yield client, net


async def test_requests_are_answered_once_whatever_becomes_of_the_connection() -> None:
    """One request is running, one is sent without a connection, and one is sent afterwards."""
    answers: dict[str, str] = {}
    async with resuming() as (client, net):

        async def ask(action: str, name: str) -> None:
            answers[name] = await client.action(f"bot:{action}", name=name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "slow", "a")
            assert (await client.wait_for("server-message")).data == {"begun": "a"}
            await net.cables[-1].cut()
            tasks.start_soon(ask, "book", "b")
        assert answers == {"a": "slow a", "b": "booked b"}
        for name in "cdef":
            await net.cables[-1].cut()
            await ask("book", name)
        assert done == ["a", "b", "c", "d", "e", "f"]
        assert len(set(net.tokens)) == len(net.tokens) == 5
        assert not client.closed


async def test_events_come_once() -> None:
    """This includes events that were sent without a connection."""
    async with resuming() as (client, net):
        session = next(iter(net.host._sessions.values())).session  # pyright: ignore[reportPrivateUsage]
        for number in range(20):
            session.send(number)
            if number % 4 == 0:
                await net.cables[-1].cut()
            await anyio.lowlevel.checkpoint()
        got = [(await client.wait_for("server-message")).data for _ in range(20)]
        assert got == list(range(20))


async def test_a_refusal_that_may_pass_is_tried_again() -> None:
    """The server may be full, or may be starting."""
    async with resuming() as (client, net):
        net.refusals += [ServerFull("full"), ServerFull("full")]
        await net.cables[-1].cut()
        assert await client.action("bot:book", name="a") == "booked a"
        assert len(net.tokens) == 3


async def test_a_session_that_is_over_is_closed() -> None:
    """Requests then raise, as without resuming."""
    async with resuming() as (client, net):
        net.refusals.append(UnknownSession("over"))
        await net.cables[-1].cut()
        with pytest.raises(SessionClosed):
            await client.action("bot:book", name="a")
        assert client.closed


async def lose(client: Client, net: Net) -> None:
    """Cut the connection, and wait until the client has noticed."""
    await net.cables[-1].cut()
    while client._resumption.connected.is_set():  # pyright: ignore[reportPrivateUsage]
        await anyio.lowlevel.checkpoint()


async def test_a_text_that_waits_for_the_connection_learns_that_the_session_is_over() -> None:
    """It need not wait for its time to pass."""
    async with resuming() as (client, net):
        net.refusals.append(UnknownSession("over"))
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with anyio.fail_after(5), pytest.raises(SessionClosed):
                    await client.ask("hello")

            async with net.is_down:
                await lose(client, net)
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()


async def test_a_text_waits_on_if_the_connection_is_lost_again() -> None:
    """The time for it has not passed."""
    async with resuming() as (client, net), anyio.create_task_group() as tasks, net.is_down:
        await lose(client, net)
        tasks.start_soon(client.send_text, "hello")
        await anyio.wait_all_tasks_blocked()
        client._resumption.connected.set()  # pyright: ignore[reportPrivateUsage]
        client._resumption.lost()  # pyright: ignore[reportPrivateUsage]
        await anyio.wait_all_tasks_blocked()


async def test_a_text_without_a_connection_is_not_answered_in_time() -> None:
    """It raises as a request does."""
    async with resuming() as (client, net):
        net.refusals += [ServerFull("full")] * 100
        await lose(client, net)
        client._timeout = 0.01  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(
            NoAnswer, match=r"^The connection to the bot was lost, and did not come back within 0\.01 s"
        ):
            await client.send_text("hello")


@pytest.mark.parametrize("saves", [True, False])
async def test_what_the_bot_ends_is_over(saves: bool) -> None:
    """The client does not resume it. Without a store, it never resumes."""
    async with resuming(saves=saves) as (client, net):
        if saves:
            with pytest.raises(SessionClosed):
                await client.action("bot:hang_up")
        else:
            await net.cables[-1].cut()
        with pytest.raises(SessionClosed):
            await client.action("bot:book", name="a")
        assert net.tokens == []
        assert done == []


@bot(services={"llm": "scripted"}, client=["bot:look"], functions=["bot:look"], public=True)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot that answers texts."""
    await converse(session, llm=llm)


@action(clerk)
async def look() -> str:
    """Have no effect."""
    return "seen"


def texts_of(session: Session) -> list[object]:
    """What the user has said in a session."""
    return [each["content"] for each in session.context.messages if each["role"] == "user"]


@pytest.mark.parametrize("moves", [False, True])
async def test_a_text_that_was_lost_with_its_connection_is_sent_again(moves: bool) -> None:
    """The first connection loses it without an error. What has arrived is not sent again."""
    store = MemoryStore()
    fakes = Fakes([Text("One.")], [Text("Two.")], [Text("Three.")])
    hosts = [Host(clerk, modules=[fakes], environ={}, store=store) for _ in range(2)]
    async with hosts[0], hosts[1]:
        net = Net(hosts[0])
        async with open_client(await net.connect(), reconnect=net.reconnect, delay=0.0) as client:
            assert await client.ask("one") == "One."
            net.cables[-1].is_frozen = True
            answers: list[str] = []

            async def ask() -> None:
                answers.append(await client.ask("two"))
                await client.action("bot:look")
                answers.append(await client.ask("three"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                net.host = hosts[moves]
                await net.cables[-1].cut()
            assert answers == ["Two.", "Three."]
            await net.cables[-1].cut()
            await client.action("bot:look")
            session = next(iter(net.host._sessions.values())).session  # pyright: ignore[reportPrivateUsage]
            assert texts_of(session) == ["one", "two", "three"]


async def test_lost_texts_and_requests_arrive_in_their_order() -> None:
    """All of them were sent into a network that had failed."""
    fakes = Fakes()
    async with Host(clerk, modules=[fakes], environ={}, store=MemoryStore()) as host:
        net = Net(host)
        async with open_client(await net.connect(), reconnect=net.reconnect, delay=0.0) as client:
            cable = net.cables[-1]
            cable.is_frozen = True
            await client.send_text("one", run_immediately=False)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.action, "bot:look")
                await anyio.wait_all_tasks_blocked()
                await client.send_text("two", run_immediately=False)
                await cable.cut()
            await client.action("bot:look")
            assert net.cables[-1].sent[1:-1] == cable.swallowed
            assert texts_of(next(iter(host._sessions.values())).session) == ["one", "two"]  # pyright: ignore[reportPrivateUsage]


async def test_what_was_written_meanwhile_arrives_after_what_was_lost() -> None:
    """The client waits until the bot has asked for everything, also a bot that accepts few requests at once."""
    async with Host(clerk, modules=[Fakes()], environ={}, store=MemoryStore(), limits=Limits(in_flight=3)) as host:
        net = Net(host)
        async with open_client(await net.connect(), reconnect=net.reconnect, delay=0.0) as client:
            lost = [f"lost {number}" for number in range(30)]
            net.cables[-1].is_frozen = True
            for text in lost:
                await client.send_text(text, run_immediately=False)
            async with anyio.create_task_group() as tasks:

                async def write(text: str) -> None:
                    await client.send_text(text, run_immediately=False)

                async with net.is_down:
                    await lose(client, net)
                    for text in ("one", "two"):
                        tasks.start_soon(write, text)
                        await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(client.action, "bot:look")
                    await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(write, "three")
                    await anyio.wait_all_tasks_blocked()
            sent = [json.loads(each) for each in net.cables[-1].sent[1:]]
            assert [each["type"] for each in sent] == [*["send-text"] * 32, "action", "send-text"]
            assert [each["data"].get("content") for each in sent] == [*lost, "one", "two", None, "three"]
            assert texts_of(next(iter(host._sessions.values())).session) == [*lost, "one", "two", "three"]  # pyright: ignore[reportPrivateUsage]


async def test_a_refused_text_is_not_sent_again() -> None:
    """It is blank."""
    async with resuming() as (client, net):
        await client.send_text(" ")
        assert (await client.wait_for("error-response")).data["code"] == "invalid-arguments"
        await net.cables[-1].cut()
        await client.action("bot:book", name="a")
        await net.cables[-1].cut()
        await client.action("bot:book", name="b")
        with pytest.raises(NoAnswer):
            await client.wait_for("error-response", timeout=0.01)
