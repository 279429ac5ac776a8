"""The connection of a transport that uses callbacks: its calls come from no task, and no task waits for its texts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from attrs import fields

from rtvi_plugins import Session, action, bot
from rtvi_plugins.hosting import Connection, Limits, ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins.runtime.bot_session import SessionParts
from rtvi_plugins.session import Listener

from ..fakes.wire import host_of, settle
from ..tools.loops import EVERY_LOOP

pytestmark = [pytest.mark.anyio, EVERY_LOOP]

READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'


@bot(client=["bot:add", "bot:wait", "bot:hang_up"], public=True)
async def desk(session: Session, /) -> None:
    """A bot that adds numbers."""
    with session.listening(Ear()):
        await anyio.sleep_forever()


class Ear(Listener):
    """A listener that does something that only a task can do."""

    def hear(self, audio: Audio) -> None:
        anyio.Event()

    def microphone(self, enabled: bool) -> None:
        anyio.Event()


@action(desk)
async def add(session: Session, /, a: int, b: int) -> int:
    """Return the sum."""
    return a + b


@action(desk)
async def wait(session: Session, /) -> bool:
    """Wait until it is cancelled."""
    await anyio.sleep_forever()
    return True


@action(desk)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close("closed by the desk")


def call(id: str, name: str, **arguments: int) -> str:
    """Return the text of a call of one of the bot's own actions."""
    listed = [{"name": key, "value": value} for key, value in arguments.items()]
    data = {"service": "bot", "action": name, "arguments": listed}
    return json.dumps({"label": "rtvi-ai", "type": "action", "id": id, "data": data})


def in_a_callback(*calls: Callable[[], object]) -> None:
    """Call a function as a protocol of asyncio does: from the event loop, in no task. trio always has a task."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        for each in calls:
            each()
    else:
        for each in calls:
            loop.call_soon(each)


def answers(sent: Sequence[str | Audio]) -> dict[str, object]:
    """The answers that were sent, by the id of the request."""
    messages = [json.loads(each) for each in sent if isinstance(each, str)]
    return {each["id"]: each["data"] for each in messages if "id" in each}


@asynccontextmanager
async def opened(limits: Limits | None = None, clock: ManualClock | None = None) -> AsyncGenerator[Connection]:
    """A claimed session whose services are open. No task reads it."""
    async with host_of(desk, limits=limits, clock=clock) as host:
        connection = host.claim((await host.start()).token)
        yield connection
        connection.disconnected()


async def test_calls_need_no_task() -> None:
    """A plain callback starts all of them: an action that ends at once, one that waits, audio, and the end."""
    async with opened() as connection:
        connection.open_audio(24_000)
        in_a_callback(
            lambda: connection.receive(READY),
            lambda: connection.receive(call("1", "add", a=1, b=2)),
            lambda: connection.receive(call("2", "wait")),
        )
        await settle()
        audio = Audio(bytes(640), 16_000)
        in_a_callback(lambda: connection.receive_audio(audio), lambda: connection.microphone(False))
        await settle()
        assert answers(connection.take())["1"] == {"result": 3}
        in_a_callback(lambda: connection.receive(call("3", "hang_up")))
        await settle()
        assert connection.closed
        assert connection.close_reason == "closed by the desk"


async def test_a_client_that_leaves_in_a_callback_ends_its_session() -> None:
    """Everything that runs is cancelled."""
    async with opened() as connection:
        in_a_callback(
            lambda: connection.receive(READY),
            lambda: connection.receive(call("1", "wait")),
            connection.disconnected,
        )
        await settle()
        assert connection.closed


async def test_a_transport_is_called_when_there_is_something_to_take() -> None:
    """It is called once for everything that comes before it takes, and again afterwards."""
    calls: list[str] = []
    async with opened() as connection:
        connection.on_sendable = lambda: calls.append("sendable")
        connection.receive(READY)
        connection.receive(call("1", "add", a=1, b=2))
        await settle()
        assert calls == ["sendable"]
        assert set(answers(connection.take())) == {"0", "1"}
        assert connection.take() == []
        connection.receive(call("2", "add", a=1, b=2))
        await settle()
        assert calls == ["sendable"] * 2


async def test_a_transport_may_take_as_soon_as_it_is_called() -> None:
    """It may take within the call. Nothing is lost, sent twice, or out of order."""
    taken: list[str | Audio] = []
    async with opened(Limits(outbox=2)) as connection:
        connection.on_sendable = lambda: taken.extend(connection.take())
        connection.receive(READY)
        await settle()
        for number in range(10):
            connection.receive(call(str(number), "add", a=number, b=0))
        await settle()
        assert [json.loads(str(each))["id"] for each in taken] == ["0", *map(str, range(10))]
        assert not connection.closed


async def test_a_transport_is_called_at_the_end() -> None:
    """There is nothing left to take, and `closed` says why the transport was called."""
    seen: list[bool] = []
    async with opened() as connection:
        connection.take()
        connection.on_sendable = lambda: seen.append(connection.closed)
        connection.close()
        assert seen == [True]


async def test_a_transport_that_takes_nothing_yet_is_called_at_the_end_too() -> None:
    """Such as one whose client has not sent its first message, so its form is not known."""
    seen: list[bool] = []
    async with opened() as connection:
        connection.on_sendable = lambda: seen.append(connection.closed)
        connection.receive(READY)
        connection.close()
        await settle()
        assert seen == [False, True]


async def test_frames_are_counted_whatever_they_hold() -> None:
    """If a client continues to send too many frames, its session ends with a code."""
    clock = ManualClock()
    async with opened(Limits(rate=10, burst=20), clock) as connection:
        for _ in range(10):
            assert [connection.charge(0) for _ in range(20)] == [True] * 20
            clock.advance(2)
        in_a_callback(lambda: [connection.charge(0) for _ in range(100)])
        await settle()
        assert connection.closed
        assert (connection.close_code, connection.charge(0)) == (1008, False)
        (message,) = [json.loads(str(each)) for each in connection.take()]
        assert (message["type"], message["data"]["code"], message["data"]["fatal"]) == ("error", "rate-limited", True)


async def test_a_long_frame_counts_for_several() -> None:
    """A client that sends few long frames uses as many units."""
    async with opened(Limits(rate=10, burst=20)) as connection:
        assert [connection.charge(65_536) for _ in range(4)] == [True, True, True, False]


async def test_an_attribute_that_a_plugin_sets_on_its_session_replaces_no_part_of_it() -> None:
    """Authors store values on the session, under names such as `turns` and `actions`."""
    async with opened() as connection:
        for each in fields(SessionParts):
            setattr(connection.session, each.name, "of a plugin")
        connection.receive(READY)
        connection.receive(call("1", "add", a=1, b=2))
        await settle()
        assert set(answers(connection.take())) == {"0", "1"}
        connection.receive(call("2", "hang_up"))
        await settle()
        assert connection.closed
