"""A session continues over another peer connection, or in another process, after a start with its token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest
from rtc_bots import desk
from rtc_caller import PEER_LEFT, Caller, Message

from rtvi_plugins.hosting import Connection, Host
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Session
from rtvi_plugins.sqlite_store import SQLiteStore
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def saving() -> Host:
    """Return a host that saves sessions in the store of `moving`."""
    return Host(desk, environ={}, store=MemoryStore())


@asynccontextmanager
async def back(first: Caller, app: object | None = None) -> AsyncGenerator[Caller]:
    """Connect the same client with another peer connection, after a start with its token."""
    [offer] = [each["data"]["about"]["resume"] for each in first.received if each.get("type") == "bot-ready"]
    transport = None if app is None else httpx2.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
        caller = Caller(http if transport is not None else first.http)
        try:
            await caller.start({"resume": offer["token"]})
            await caller.connect()
            await caller.ready()
            yield caller
        finally:
            await caller.close()


async def hums(caller: Caller) -> bool:
    """Check that the bot hums at the frequency that it gets."""
    data: Message = {"content": "440", "options": {}}
    caller.say({"label": "rtvi-ai", "type": "send-text", "id": "typed", "data": data})
    await caller.until(lambda: len(caller.loud()) > 5_000)
    return True


async def test_a_client_comes_back_after_its_connection_was_lost(saving: Host, calling: Calling) -> None:
    """The session continues over the new peer connection, with sound, and has not ended meanwhile."""
    async with calling(saving) as caller:
        await caller.connect()
        await caller.ready()
        await caller.lose()
        async with back(caller) as again:
            assert (await again.call("add", a=2, b=3))["data"] == {"result": 5}
            assert await hums(again)
            assert saving.open_sessions == 1
            assert caller.ended == 0


async def test_a_client_that_is_gone_leaves_its_session_to_its_return(
    saving: Host, calling: Calling, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bot sends afterwards is not taken by the connection that is over."""
    gone, disconnected = asyncio.Event(), Connection.disconnected
    found: list[Session] = []

    def note(connection: Connection, *, left: bool = False) -> None:
        disconnected(connection, left=left)
        found.append(connection.session)
        gone.set()

    monkeypatch.setattr(Connection, "disconnected", note)
    async with calling(saving) as caller:
        await caller.connect()
        await caller.ready()
        await caller.lose()
        await gone.wait()
        async with back(caller) as again:
            found[0].send({"news": 1})
            await again.find(lambda each: each.get("data") == {"news": 1})


async def test_a_client_that_disconnects_ends_its_session(saving: Host, calling: Calling) -> None:
    """The server does not wait for a client that has closed its channel."""
    async with calling(saving) as caller:
        await caller.connect()
        await caller.ready()
        assert caller.channel is not None
        caller.channel.close()
        await caller.until(lambda: caller.ended == 1)


async def test_the_connection_before_is_told_that_another_one_has_replaced_it(saving: Host, calling: Calling) -> None:
    """It ends like a WebSocket with the code 1012. An interruption drops the sound of the new connection."""
    async with calling(saving) as caller:
        await caller.connect()
        await caller.ready()
        async with back(caller) as again:
            moved = {"type": "signalling", "message": {"type": "peerLeft", "code": 1012}}
            await caller.find(lambda each: each == moved)
            assert PEER_LEFT not in caller.received
            assert await hums(again)
            assert (await again.call("hush"))["data"] == {"result": None}


async def test_another_process_continues_with_a_session(tmp_path: Path) -> None:
    """The session is loaded from the store, and has sound."""
    file = tmp_path / "sessions.db"
    one, two = (Host(desk, environ={}, store=SQLiteStore(file), address=each) for each in ("http://one", "http://two"))
    app = create_app(one)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http, two:
        first = Caller(http)
        async with one:
            await first.start()
            await first.connect()
            await first.ready()
            one.end_sessions()
            await first.find(lambda each: each.get("message", {}).get("code") == 1012)
        async with back(first, create_app(two)) as again:
            assert (await again.call("add", a=1, b=1))["data"] == {"result": 2}
            assert await hums(again)
        await first.close()


async def test_an_offer_goes_to_the_process_that_has_started_the_session(saving: Host) -> None:
    """The answer to a start has its address, if the operator has given a URL or there are several processes."""
    app = create_app(saving, public_url="https://bots.example/w3")
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http, saving:
        started = (await http.post("/webrtc/start", json={})).json()
        path = f"/webrtc/sessions/{started['sessionId']}/api/offer"
        assert started["webrtcRequestParams"] == {"endpoint": f"https://bots.example/w3{path}"}
