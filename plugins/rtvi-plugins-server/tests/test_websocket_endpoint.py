"""The WebSocket carries text and audio in both directions. It can end in many ways."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, TypeAlias

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from attrs import frozen
from httpx2.websockets import AsyncWebSocketSession, WebSocketDisconnect
from starlette.routing import WebSocketRoute

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Connection, Host, ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import Session
from rtvi_plugins_server import create_app
from rtvi_plugins_server._protobuf import decode, encode
from rtvi_plugins_server.websocket import CloseFrame, WebSocketEndpoint

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'


async def start(client: httpx2.AsyncClient) -> str:
    """Return the address of a new session."""
    address: str = (await client.post("/connect")).json()["ws_url"]
    return address


async def receive(socket: AsyncWebSocketSession) -> dict[str, Any]:
    """Return the next message."""
    message: dict[str, Any] = json.loads(await socket.receive_text())
    return message


async def until_closed(socket: AsyncWebSocketSession) -> WebSocketDisconnect:
    """Return how the server closes, whatever it has sent before."""
    while True:
        try:
            await socket.receive()
        except WebSocketDisconnect as closed:
            return closed


async def assert_refused(client: httpx2.AsyncClient, address: str) -> None:
    """Check that a handshake fails in the way of a server without bodies for refused handshakes."""
    with pytest.raises(WebSocketDisconnect) as closed:
        async with client.websocket(address):
            raise AssertionError("the handshake succeeded")
    assert closed.value.code == 1008


async def test_a_session_is_carried_both_ways(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """A handshake and an action's call are answered in text frames."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        assert (await receive(socket))["type"] == "bot-ready"
        await socket.send_text(action("1", "add", a=1, b=2))
        answer = await receive(socket)
        assert (answer["id"], answer["type"], answer["data"]) == ("1", "action-response", {"result": 3})


async def test_many_at_once_are_all_answered(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """Answers are sent in batches, and none is lost."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        assert (await receive(socket))["type"] == "bot-ready"
        for number in range(100):
            await socket.send_text(action(str(number), "add", a=number, b=1))
        answers = [await receive(socket) for _ in range(100)]
        assert {each["id"]: each["data"]["result"] for each in answers} == {str(each): each + 1 for each in range(100)}


# ---- binary frames ---------------------------------------------------------------------------------------------


async def read(socket: AsyncWebSocketSession) -> Any:
    """Return the content of the next binary frame: a message as JSON, or audio."""
    item = decode(await socket.receive_bytes())
    return json.loads(item) if isinstance(item, str) else item


async def test_a_binary_client_is_answered_in_binary_frames(
    host: Host, serving: Serving, action: Callable[..., str]
) -> None:
    """It is the same conversation in the frames of the published transport."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(encode(READY, 0))
        assert (await read(socket))["type"] == "bot-ready"
        await socket.send_bytes(encode(action("1", "add", a=1, b=2), 0))
        answer = await read(socket)
        assert (answer["id"], answer["type"], answer["data"]) == ("1", "action-response", {"result": 3})


async def test_a_heartbeat_is_answered(host: Host, serving: Serving) -> None:
    """After the client's first message, an empty binary message is answered by another one."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(b"")
        await socket.send_bytes(encode(READY, 1))
        assert (await read(socket))["type"] == "bot-ready"
        await socket.send_bytes(b"")
        assert await socket.receive_bytes() == b""


async def test_audio_is_carried_both_ways(make_host: Callable[..., Host], serving: Serving) -> None:
    """The microphone's audio at 16 kHz is heard, and audio is played at 24 kHz, with 20 ms per frame."""
    async with serving(make_host("parrot")) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(encode(READY, 0))
        messages = [await read(socket) for _ in range(2)]
        assert (messages[0]["type"], messages[1]["data"]) == ("bot-ready", {"audio": True})
        for _ in range(10):
            await socket.send_bytes(encode(Audio(bytes(640), 16_000), 0))
        heard: list[Audio] = []
        while len(heard) < 5:
            item = await read(socket)
            heard += [item] if isinstance(item, Audio) else []
        assert {(each.rate, each.channels, len(each.data)) for each in heard} == {(24_000, 1, 960)}


async def test_audio_is_open_before_the_bot_begins(make_host: Callable[..., Host], serving: Serving) -> None:
    """Audio that arrives before client-ready is not lost."""
    async with serving(make_host("parrot")) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(encode(Audio(bytes(640), 16_000), 0))
        await socket.send_bytes(encode(READY, 0))
        messages = [await read(socket) for _ in range(2)]
        assert messages[1]["data"] == {"audio": True}


async def test_a_client_of_texts_has_no_audio(make_host: Callable[..., Host], serving: Serving) -> None:
    """Text frames cannot carry audio, so the bot produces none."""
    async with serving(make_host("parrot")) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        messages = [await receive(socket) for _ in range(2)]
        assert messages[1]["data"] == {"audio": False}


async def test_audio_that_cannot_be_costs_no_more_than_itself(
    host: Host, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """A client with a mistake in its audio still has its session, and whoever looks for the mistake finds it."""
    caplog.set_level(logging.DEBUG, "rtvi_plugins.server")
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        for audio in (Audio(bytes(640), 0), Audio(bytes(641), 16_000), Audio(bytes(640), 16_000, 0)):
            await socket.send_bytes(encode(audio, 0))
        await socket.send_bytes(encode(READY, 0))
        assert (await read(socket))["type"] == "bot-ready"
    reasons = [each.getMessage().rpartition("its ")[2] for each in caplog.records if "rejected a frame" in each.message]
    assert [each.partition(" ")[0] for each in reasons] == ["sample_rate", "641", "num_channels"]


async def test_audio_that_cannot_be_is_reported_to_the_client_once(host: Host, serving: Serving) -> None:
    """The report describes the first invalid audio."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(encode(READY, 0))
        assert (await read(socket))["type"] == "bot-ready"
        for _ in range(3):
            await socket.send_bytes(encode(Audio(bytes(641), 16_000), 0))
        message = await read(socket)
        assert (message["type"], message["data"]["code"], message["data"]["fatal"]) == (
            "error",
            "unusable-audio",
            False,
        )
        assert "641 bytes" in message["data"]["message"]
        await socket.send_bytes(encode(READY.replace("client-ready", "get-config").replace('"0"', '"1"'), 0))
        assert (await read(socket))["type"] == "config"


async def test_frames_of_other_kinds_are_passed_over(host: Host, serving: Serving) -> None:
    """Text, transcription, interruption, future kinds and empty frames do not affect a session."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        for frame in (b"", b"\x0a\x02\x08\x01", b"\x1a\x02\x08\x01", b"\x2a\x02\x08\x01", b"\x32\x02\x08\x01"):
            await socket.send_bytes(frame)
        await socket.send_bytes(encode(READY, 0))
        assert (await read(socket))["type"] == "bot-ready"


async def test_frames_are_numbered_as_they_are_sent(make_host: Callable[..., Host], serving: Serving) -> None:
    """A recording of the frames shows which of them is missing."""
    async with serving(make_host("parrot")) as client, client.websocket(await start(client)) as socket:
        await socket.send_bytes(encode(READY, 0))
        frames = [await socket.receive_bytes()]  # the bot is ready, and listens
        await socket.send_bytes(encode(Audio(bytes(6400), 16_000), 0))
        frames += [await socket.receive_bytes() for _ in range(7)]
        assert [encode(decode(frame) or "", number) for number, frame in enumerate(frames, 1)] == frames


# ---- before the first frame ------------------------------------------------------------------------------------


@pytest.fixture
def talkative(make_host: Callable[..., Host]) -> Host:
    """Return a host of a bot that speaks before a client is ready."""
    module = ModuleType("hooks_of_a_plugin")

    @hookimpl
    def session_opened(session: Session) -> None:
        session.send("welcome")

    vars(module)["session_opened"] = session_opened
    return make_host(modules=[module])


@pytest.mark.parametrize("form", ["text", "bytes"])
async def test_nothing_is_sent_before_the_first_frame(talkative: Host, form: str) -> None:
    """Only the first frame shows the format to send. Nothing is lost while the server waits."""
    first: dict[str, Any] = {"text": READY} if form == "text" else {"bytes": encode(READY, 0)}
    peer = Peer()
    async with talkative, anyio.create_task_group() as tasks:
        tasks.start_soon(create_app(talkative), await peer.scope(talkative), peer.receive, peer.send)
        await anyio.wait_all_tasks_blocked()
        assert [each["type"] for each in peer.sent] == ["websocket.accept"]
        peer.say(first)
        await anyio.wait_all_tasks_blocked()
        frames = [each[form] for each in peer.sent[1:]]
        texts = [each if isinstance(each, str) else decode(each) for each in frames]
        assert [json.loads(str(each))["type"] for each in texts] == ["server-message", "bot-ready"]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("at", ["accept", "later"])
async def test_a_session_that_ends_before_the_first_frame_only_closes_its_socket(
    make_host: Callable[..., Host], at: str
) -> None:
    """There is no form in which more could be said, and nobody waits for one."""
    clock = ManualClock()
    peer = Peer(on_accept=lambda: clock.advance(100_000) if at == "accept" else None)
    async with make_host(clock=clock) as host:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(create_app(host), await peer.scope(host), peer.receive, peer.send)
            await anyio.wait_all_tasks_blocked()
            clock.advance(100_000)
        assert [each["type"] for each in peer.sent] == ["websocket.accept", "websocket.close"]
        assert peer.sent[1]["code"] == 1008


async def test_a_client_that_leaves_without_a_word_ends_its_session(host: Host, serving: Serving) -> None:
    """A socket that was opened and closed leaves nothing behind."""
    async with serving(host) as client:
        async with client.websocket(await start(client)):
            pass
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


# ---- without a token -------------------------------------------------------------------------------------------


async def test_a_client_without_a_token_gets_a_session_in_development_mode(
    make_host: Callable[..., Host], serving: Serving, action: Callable[..., str]
) -> None:
    """It has the bot's defaults, and it ends with its client."""
    host = make_host(dev=True)
    async with serving(host) as client:
        async with client.websocket("ws://127.0.0.1:7860/ws?skip_tts=true") as socket:
            await socket.send_text(READY)
            assert (await receive(socket))["type"] == "bot-ready"
            await socket.send_text(action("1", "add", a=1, b=2))
            assert (await receive(socket))["data"] == {"result": 3}
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


async def test_no_page_of_another_origin_gets_a_session_without_a_token(
    make_host: Callable[..., Host], serving: Serving
) -> None:
    """Origin is checked before anything starts, and a token that is wrong starts nothing."""
    host = make_host(dev=True)
    async with serving(host) as client:
        with pytest.raises(WebSocketDisconnect):
            async with client.websocket("ws://127.0.0.1:7860/ws", headers={"origin": "https://evil.example"}):
                raise AssertionError("the handshake succeeded")
        for query in ("?token=", "?token=unknown"):
            await assert_refused(client, f"ws://127.0.0.1:7860/ws{query}")
        assert host.open_sessions == 0


async def test_sessions_without_a_token_are_limited(make_host: Callable[..., Host], serving: Serving) -> None:
    """The limit of waiting sessions applies to them, too. A draining host starts none."""
    host = make_host(dev=True)
    async with serving(host) as client:
        host.drain()
        await assert_refused(client, "ws://127.0.0.1:7860/ws")


# ---- the form of a plugin --------------------------------------------------------------------------------------


@frozen
class Shouting:
    """Writes everything in capitals."""

    connection: Connection

    def receive(self, data: str | bytes) -> CloseFrame | None:
        assert isinstance(data, str)
        self.connection.receive(data.lower())
        return None

    def write(self, item: str | Audio) -> str | bytes:
        assert isinstance(item, str)
        return item.upper()


def shouting(connection: Connection, first: str | bytes) -> Shouting | None:
    """Return the form, if the client's first message has it."""
    return Shouting(connection) if isinstance(first, str) and first.isupper() else None


async def test_a_plugin_adds_a_form_of_messages(host: Host, serving: Serving) -> None:
    """The first message decides. Clients of the published forms are not affected."""
    plugin = ModuleType("shouting")

    @hookimpl
    def server_routes(host: Host) -> list[WebSocketRoute]:
        return [WebSocketRoute("/ws", WebSocketEndpoint(host, [shouting]))]

    plugin.server_routes = server_routes  # type: ignore[attr-defined]
    host = Host(host.bot, modules=[plugin], environ={})
    async with serving(host) as client:
        async with client.websocket(await start(client)) as socket:
            await socket.send_text(READY.upper())
            assert (await receive(socket))["TYPE"] == "BOT-READY"
        async with client.websocket(await start(client)) as socket:
            await socket.send_text(READY)
            assert (await receive(socket))["type"] == "bot-ready"


# ---- how it is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?token=", "?token=unknown", "?other=1", "?token=%ff%00"])
async def test_a_socket_without_a_sessions_token_is_refused(host: Host, serving: Serving, query: str) -> None:
    """Clients of 0.1 open their WebSocket even when the start was refused."""
    async with serving(host) as client:
        await assert_refused(client, f"ws://127.0.0.1:7860/ws{query}")


async def test_a_token_is_good_once(host: Host, serving: Serving) -> None:
    """A token that somebody reads in a log later is useless."""
    async with serving(host) as client:
        address = await start(client)
        async with client.websocket(address):
            await assert_refused(client, address)


async def test_a_refused_handshake_says_why_where_the_server_can(host: Host) -> None:
    """On uvicorn, it is an HTTP answer with a status and the usual body."""
    sent = await drive(host, query="token=unknown", extensions={"websocket.http.response": {}})
    assert [each["type"] for each in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert json.loads(sent[1]["body"])["error"] == "unknown-session"


@pytest.mark.parametrize("kind", ["websocket", "http"])
@pytest.mark.parametrize("origin", ["", "https://foreign.example"])
async def test_the_token_is_gone_when_a_server_logs_the_query(host: Host, kind: str, origin: str) -> None:
    """A server may log it when the app answers, also for a handshake that a proxy has made a plain request of."""
    scope: dict[str, Any] = {"type": kind, "method": "GET", "path": "/ws", "scheme": kind, "extensions": {}}
    scope["headers"] = [(b"origin", origin.encode())] if origin else []
    logged = list[bytes]()
    opens = kind == "websocket" and not origin

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.{'disconnect' if logged else 'connect'}"}

    async def send(event: Any) -> None:
        logged.append(scope["query_string"])
        assert (event["type"] == "websocket.accept") == opens

    async with host:
        scope["query_string"] = f"token={(await host.start(None)).token}".encode()
        await create_app(host)(scope, receive, send)
    assert set(logged) == {b""}
    assert ("endpoint" in scope) == opens  # a layer outside may look for it


async def drive(host: Host, *, query: str, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the app sends to a bare WebSocket handshake."""
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


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        ([READY, b"\x22\x00"], 1002, "began with text frames; continue with them"),
        ([encode(READY, 0), READY], 1002, "began with binary frames; continue with them"),
        ([READY.encode()], 1007, "JSON goes in text frames"),
        ([encode(READY, 0), b"\xff"], 1007, "must be a protobuf Frame"),
    ],
)
async def test_a_frame_of_no_form_ends_the_session_with_a_reason(
    host: Host, serving: Serving, frames: list[str | bytes], code: int, reason: str
) -> None:
    """A client that mixes forms, or sends what is none, is told at the socket's end."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        for frame in frames:
            await (socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        closed = await until_closed(socket)
        assert closed.code == code
        assert reason in str(closed.reason)
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


async def test_a_session_that_ends_closes_its_socket(host: Host, serving: Serving, action: Callable[..., str]) -> None:
    """Earlier messages are still sent. Then the session's own code and reason close it."""
    async with serving(host) as client, client.websocket(await start(client)) as socket:
        await socket.send_text(READY)
        await socket.send_text(action("1", "hang_up"))
        assert (await receive(socket))["type"] == "bot-ready"
        assert (await receive(socket))["id"] == "1"
        with pytest.raises(WebSocketDisconnect) as closed:
            await socket.receive()
        assert (closed.value.code, closed.value.reason) == (1000, "the desk has closed")


async def test_a_client_that_leaves_ends_its_session(host: Host, serving: Serving) -> None:
    """Its services are closed at once, and not after the idle limit."""
    async with serving(host) as client:
        async with client.websocket(await start(client)) as socket:
            await socket.send_text(READY)
            assert host.open_sessions == 1
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0


class Peer:
    """A client as an ASGI server presents it: it sends what a test tells it, and stores what it gets."""

    def __init__(self, *said: str, on_accept: Callable[[], None] = lambda: None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._on_accept = on_accept
        self._said = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in said)]
        self._spoke = anyio.Event()

    async def scope(self, host: Host) -> dict[str, Any]:
        """Return the handshake for a new session."""
        query = f"token={(await host.start()).token}".encode()
        return {"type": "websocket", "scheme": "ws", "path": "/ws", "query_string": query, "headers": []}

    def say(self, frame: dict[str, Any]) -> None:
        self._said.append({"type": "websocket.receive", **frame})
        self._spoke.set()

    async def receive(self) -> dict[str, Any]:
        if not self._said:
            self._spoke = anyio.Event()
            await self._spoke.wait()
        return self._said.pop(0)

    async def send(self, event: Any) -> None:
        self.sent.append(event)
        if event["type"] == "websocket.accept":
            self._on_accept()
        else:
            await self.take()

    async def take(self) -> None:
        await checkpoint()


class StuckPeer(Peer):
    """A client that sends requests and then reads nothing."""

    async def take(self) -> None:
        await anyio.sleep_forever()


class GonePeer(Peer):
    """A client that has left when it is answered."""

    async def take(self) -> None:
        raise OSError("the peer is gone")


@pytest.mark.parametrize("kind", [StuckPeer, GonePeer])
async def test_a_client_that_takes_nothing_is_given_up(
    make_host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, kind: type[Peer]
) -> None:
    """When its session has ended, neither that nor a task of its own stays behind."""
    monkeypatch.setattr("rtvi_plugins_server._websocket_endpoint._STALLED_SECONDS", 0)
    peer, clock = kind(READY), ManualClock()
    async with make_host(clock=clock) as host, anyio.create_task_group() as tasks:
        tasks.start_soon(create_app(host), await peer.scope(host), peer.receive, peer.send)
        await anyio.wait_all_tasks_blocked()
        assert [each["type"] for each in peer.sent] == ["websocket.accept", "websocket.send"]
        clock.advance(host.limits.idle_seconds)
        await anyio.wait_all_tasks_blocked()
        assert host.open_sessions == 0
