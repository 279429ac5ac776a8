"""The WebSocket: texts in and out, and every way in which it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import anyio
import httpx2
import pytest
from httpx2.websockets import AsyncWebSocketSession, WebSocketDisconnect

from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'


async def start(client: httpx2.AsyncClient) -> str:
    """The address of a new session."""
    address: str = (await client.post("/connect")).json()["ws_url"]
    return address


async def receive(socket: AsyncWebSocketSession) -> dict[str, Any]:
    """The next message."""
    message: dict[str, Any] = json.loads(await socket.receive_text())
    return message


async def assert_refused(client: httpx2.AsyncClient, address: str) -> None:
    """Check that a handshake fails, as a server without bodies for refused handshakes shows it."""
    with pytest.raises(WebSocketDisconnect) as closed:
        async with client.websocket(address):
            raise AssertionError("the handshake succeeded")
    assert closed.value.code == 1008


async def test_a_session_is_carried_both_ways(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """The handshake and a call of an action, answered in text frames."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        assert (await receive(socket))["type"] == "bot-ready"
        await socket.send_text(action("1", "add", a=1, b=2))
        answer = await receive(socket)
        assert (answer["id"], answer["type"], answer["data"]) == ("1", "action-response", {"result": 3})


async def test_many_at_once_are_all_answered(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """Answers leave in batches, and none is lost."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        assert (await receive(socket))["type"] == "bot-ready"
        for number in range(100):
            await socket.send_text(action(str(number), "add", a=number, b=1))
        answers = [await receive(socket) for _ in range(100)]
        assert {each["id"]: each["data"]["result"] for each in answers} == {str(each): each + 1 for each in range(100)}


# ---- how it is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?token=", "?token=unknown", "?other=1", "?token=%ff%00"])
async def test_a_socket_without_a_sessions_token_is_refused(host: Host, serving: Serving, query: str) -> None:
    """0.1 goes on to its WebSocket even when its start was refused."""
    async with serving(host) as client:
        await assert_refused(client, f"ws://127.0.0.1:7860/ws{query}")


async def test_a_token_is_good_once(host: Host, serving: Serving) -> None:
    """Whoever reads it in a log afterwards has nothing."""
    async with serving(host) as client:
        address = await start(client)
        async with client.websocket(address):
            await assert_refused(client, address)


async def test_a_refused_handshake_says_why_where_the_server_can(host: Host) -> None:
    """With uvicorn it is an HTTP answer with a status and the usual body."""
    sent = await drive(host, query="token=unknown", extensions={"websocket.http.response": {}})
    assert [each["type"] for each in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert json.loads(sent[1]["body"])["error"] == "unknown-session"


async def drive(host: Host, *, query: str, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """What the app sends to a bare WebSocket handshake."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/ws",
        "query_string": query.encode(),
        "headers": [],
        "scheme": "ws",
    }
    async with host:
        await create_app(host)({**scope, "extensions": extensions}, receive, send)
    return sent


# ---- how it ends -----------------------------------------------------------------------------------------------


async def test_a_binary_frame_is_refused_with_a_reason(host: Host, serving: Serving) -> None:
    """A client that speaks protobuf frames is told, and its session is over."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(b"\x0a\x00")
        with pytest.raises(WebSocketDisconnect) as closed:
            await socket.receive()
        assert closed.value.code == 1003
        assert "text frames" in str(closed.value.reason)
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


async def test_a_session_that_ends_closes_its_socket(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """What was said before is still sent, then the session's own code and reason close it."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        await socket.send_text(action("1", "hang_up"))
        assert (await receive(socket))["type"] == "bot-ready"
        assert (await receive(socket))["id"] == "1"
        with pytest.raises(WebSocketDisconnect) as closed:
            await socket.receive()
        assert (closed.value.code, closed.value.reason) == (1000, "the desk has closed")


async def test_a_client_that_leaves_ends_its_session(host: Host, serving: Serving) -> None:
    """Its services are closed at once, not at the idle limit."""
    async with serving(host) as client:
        async with client.websocket(await start(client)) as socket:
            await socket.send_text(READY)
            assert host.open_sessions == 1
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


class Peer:
    """The server's side of a socket whose client asks and then reads nothing, as an ASGI server shows it."""

    def __init__(self, *texts: str) -> None:
        self._texts = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]
        self.accepted = False

    async def receive(self) -> dict[str, Any]:
        if self._texts:
            return self._texts.pop(0)
        await anyio.sleep_forever()
        raise AssertionError

    async def send(self, event: Any) -> None:
        if event["type"] == "websocket.accept":
            self.accepted = True
        else:
            await self.take()

    async def take(self) -> None:
        await anyio.sleep_forever()


class GonePeer(Peer):
    """A client that is gone when it is answered."""

    async def take(self) -> None:
        raise OSError("the peer is gone")


@pytest.mark.parametrize("kind", [Peer, GonePeer])
async def test_a_client_that_takes_nothing_is_given_up(
    make_host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, kind: type[Peer]
) -> None:
    """When its session has ended, neither that nor a task of its own stays behind."""
    monkeypatch.setattr("rtvi_plugins_server._socket._STALLED_SECONDS", 0)
    peer, clock = kind(READY), ManualClock()
    async with make_host(clock=clock) as host, anyio.create_task_group() as tasks:
        token = (await host.start()).token
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/ws",
            "query_string": f"token={token}".encode(),
            "headers": [],
        }
        tasks.start_soon(create_app(host), {**scope, "scheme": "ws"}, peer.receive, peer.send)
        await anyio.wait_all_tasks_blocked()
        assert peer.accepted
        clock.advance(host.limits.idle_seconds)
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0
