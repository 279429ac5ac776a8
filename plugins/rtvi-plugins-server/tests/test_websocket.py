"""The server's own WebSocket protocol: what a client of bare frames can cause, and what it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from types import ModuleType
from typing import Any

import httpx2
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from live import DESK, PATIENCE, Live, everything, live
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket as AppWebSocket
from starlette.websockets import WebSocketDisconnect
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.kinds import Audio
from rtvi_plugins.loading import load_bot
from rtvi_plugins.security import LogThrottle
from rtvi_plugins.session import Session
from rtvi_plugins_server._protobuf import decode, encode
from rtvi_plugins_server._uvicorn import handshake, websocket
from rtvi_plugins_server._uvicorn.connections import ConnectionLimiter, ConnectionLimits, TrackedConnection
from rtvi_plugins_server._uvicorn.handshake import HandshakeProtocol
from rtvi_plugins_server._websocket_session import EXTENSION, CloseFrame

READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'
HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client."""
    return Frame(opcode, data, fin).serialize(mask=True)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Serve on one of the event loops."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


class Bare:
    """A client that has made its handshake, and sends any bytes."""

    def __init__(self, server: Live, path: str) -> None:
        self.socket = server.connect(HANDSHAKE % path.encode())
        self.parser = ClientProtocol(parse_uri("ws://127.0.0.1/"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert b" 101 " in head, head

    def frames(self) -> Generator[tuple[int, bytes]]:
        """Return the opcodes and payloads that the server sends, until it closes."""
        data = b""

        def more(size: int) -> None:
            nonlocal data
            while len(data) < size:
                part = self.socket.recv(65_536)
                if not part:
                    raise EOFError
                data += part

        try:
            while True:
                more(2)
                size, start = data[1], 2
                if size == 126:
                    more(4)
                    size, start = struct.unpack("!H", data[2:4])[0], 4
                elif size == 127:
                    more(10)
                    size, start = struct.unpack("!Q", data[2:10])[0], 10
                more(start + size)
                yield data[0] & 15, data[start : start + size]
                data = data[start + size :]
        except (EOFError, ConnectionResetError):
            return

    def closed(self) -> tuple[int, str]:
        """Return the code and the reason of the close frame, whatever comes before it."""
        for opcode, data in self.frames():
            if opcode == Opcode.CLOSE:
                return struct.unpack("!H", data[:2])[0], data[2:].decode()
        raise AssertionError("the server closed without a close frame")


def path_of(server: Live) -> str:
    """Return the path of a new session's socket."""
    url = f"http://127.0.0.1:{server.address[1]}/start"
    return f"/ws?token={httpx2.post(url, trust_env=False).json()['token']}"


@contextmanager
def bare(server: Live, path: str | None = None) -> Generator[Bare]:
    """Connect a bare client. Without a path, it gets a new session."""
    client = Bare(server, path or path_of(server))
    with client.socket:
        yield client


@contextmanager
def polite(server: Live) -> Generator[ClientConnection]:
    """Connect a client, and begin its session."""
    with connect(f"ws://127.0.0.1:{server.address[1]}{path_of(server)}", proxy=None) as client:
        client.send(READY)
        assert json.loads(client.recv(PATIENCE))["type"] == "bot-ready"
        yield client


def limited(**limits: Any) -> Host:
    """Return a host with other limits."""
    return Host(load_bot(f"{DESK}:desk"), environ={}, limits=Limits(**limits))


# ---- a session -------------------------------------------------------------------------------------------------


def test_a_session_is_carried_without_events(host: Host, loop: str, action: Callable[..., str]) -> None:
    """Many calls in few packets are answered in order. The close frame has the session's own reason."""
    with live(host, loop=loop) as server, polite(server) as client:
        for number in range(300):
            client.send(action(str(number), "add", a=number, b=1))
        answers = [json.loads(client.recv(PATIENCE)) for _ in range(300)]
        assert [each["data"]["result"] for each in answers] == [each + 1 for each in range(300)]
        client.send(action("end", "hang_up"))
        assert json.loads(client.recv(PATIENCE))["id"] == "end"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "the desk has closed")
        server.until(lambda: host.open_sessions == 0)


def test_a_heartbeat_is_answered(host: Host, loop: str) -> None:
    """An empty binary message is answered by another one. It does not keep an idle session open."""
    with live(host, loop=loop) as server, polite(server) as client:
        [session] = host._sessions.values()  # pyright: ignore[reportPrivateUsage]
        before = session.parts.end.last_received
        for _ in range(3):
            client.send(b"")
            assert client.recv(PATIENCE) == b""
        assert session.parts.end.last_received == before


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_what_is_said_before_the_first_frame_is_sent_after_it(
    make_host: Callable[..., Host], loop: str, opcode: Opcode
) -> None:
    """Only that decides the form; nothing is lost, and the order is kept."""
    module = ModuleType("hooks_of_a_plugin")

    @hookimpl
    def session_opened(session: Session) -> None:
        session.send("welcome")

    vars(module)["session_opened"] = session_opened
    with live(make_host(modules=[module]), loop=loop) as server, bare(server) as client:
        client.socket.sendall(frame(opcode, READY.encode() if opcode is Opcode.TEXT else encode(READY, 0)))
        frames = client.frames()
        texts = [data if opcode is Opcode.TEXT else decode(data) for _, data in (next(frames), next(frames))]
        assert [json.loads(each)["type"] for each in texts if not isinstance(each, Audio | None)] == [
            "server-message",
            "bot-ready",
        ]


def test_a_client_that_sends_nothing_is_closed_with_its_session(loop: str) -> None:
    """Its connection does not outlive the session."""
    host = limited(idle_seconds=0.1)
    with live(host, ConnectionLimits(close_seconds=0.2), loop=loop) as server, bare(server) as client:
        assert client.closed()[0] == 1008
        server.until(lambda: (host.open_sessions, len(server.server.limiter)) == (0, 0))


def test_frames_that_come_before_the_answer_are_kept(host: Host, loop: str, action: Callable[..., str]) -> None:
    """A client that does not wait for the handshake loses no message."""
    with live(host, loop=loop) as server:
        sent = frame(Opcode.TEXT, READY.encode()) + frame(Opcode.TEXT, action("1", "add", a=1, b=2).encode())
        with server.connect(HANDSHAKE % path_of(server).encode() + sent) as client:
            got = b""
            while b'"result":3' not in got:
                got += client.recv(65_536)
            assert got.startswith(b"HTTP/1.1 101")


def test_a_message_may_come_in_fragments(host: Host, loop: str) -> None:
    """This includes empty fragments, and pings between fragments."""
    with live(host, loop=loop) as server, bare(server) as client:
        for at, byte in enumerate(READY.encode()):
            client.socket.sendall(frame(Opcode.CONT if at else Opcode.TEXT, bytes((byte,)), fin=False))
            client.socket.sendall(frame(Opcode.PING, b"x"))
        client.socket.sendall(frame(Opcode.CONT))
        found = next(data for opcode, data in client.frames() if opcode == Opcode.TEXT)
        assert json.loads(found)["type"] == "bot-ready"


def test_long_frames_are_carried(host: Host, loop: str) -> None:
    """They are longer than one read, in both directions. A message that is too long is answered before the close."""
    with live(host, loop=loop) as server, polite(server) as client:
        client.send(json.dumps({"label": "rtvi-ai", "type": "x" * 500_000, "id": "1", "data": {}}))
        assert json.loads(client.recv(PATIENCE))["data"]["code"] == "message-too-large"


def test_what_is_longer_than_any_message_closes(host: Host) -> None:
    """The message is not read first."""
    with live(host) as server, bare(server) as client:
        client.socket.sendall(frame(Opcode.TEXT, b"x" * 1_048_577)[:100])
        assert client.closed()[0] == 1009


def test_a_client_that_sends_a_message_of_any_length_sees_the_close_code(host: Host, loop: str) -> None:
    """The rest of the message is received: else the client would only see a broken connection."""
    with live(host, loop=loop) as server, polite(server) as client:
        client.send("x" * 8_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_are_written(host: Host, loop: str, size: int) -> None:
    """Each length has its own header."""
    with (
        live(host, loop=loop, routes=[WebSocketRoute("/echo", Echoing())]) as server,
        connect(f"ws://127.0.0.1:{server.address[1]}/echo", proxy=None) as client,
    ):
        client.send(b"x" * size)
        client.send("y" * size)
        assert client.recv(PATIENCE) == b"x" * size
        assert client.recv(PATIENCE) == "y" * size


# ---- clients that break the protocol ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"("), 1007),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\x81\x01x", 1002),
        (frame(Opcode.CONT, b"x"), 1002),
        (frame(Opcode.TEXT, b"x", fin=False) + b"".join(frame(Opcode.CONT, fin=False) for _ in range(300)), 1008),
    ],
    ids=["not utf-8", "not utf-8 together", "no opcode", "no mask", "nothing to continue", "too many fragments"],
)
def test_a_client_that_breaks_the_protocol_is_closed(
    host: Host, caplog: pytest.LogCaptureFixture, loop: str, sent: bytes, code: int
) -> None:
    """With a code that says why, one line in the log, and no traceback."""
    with live(host, loop=loop) as server:
        with bare(server) as client:
            client.socket.sendall(sent)
            assert client.closed()[0] == code
            server.until(lambda: host.open_sessions == 0)
        server.until(lambda: len(server.server.limiter) == 0)
    check_log(caplog)


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Check that at most one line was logged, from the framework, and without a traceback."""
    records = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(records) <= 1
    assert all(each.exc_info is None and each.name == "rtvi_plugins.server" for each in records)


def test_a_refused_handshake_is_one_line(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our own: the app has answered, and nothing is wrong with it."""
    times = count(step=3_600)  # an hour between two lines
    throttle = LogThrottle(logging.getLogger("rtvi_plugins.server"), lambda: next(times))
    monkeypatch.setattr(handshake, "_refusals", throttle)
    with live(host) as server:
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.address[1]}/ws", proxy=None):
            raise AssertionError("the handshake succeeded")
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"] == "unknown-session"
        server.until(lambda: len(server.server.limiter) == 0)
    logged = [(each.name, each.getMessage()) for each in caplog.records if each.levelno >= logging.WARNING]
    assert logged == [("rtvi_plugins.server", "refused the handshake of a WebSocket: 401 Unauthorized")]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (HANDSHAKE.replace(b"Version: 13", b"Version: 7"), 400),
        (HANDSHAKE.replace(b"AAAA", b""), 400),
        (HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
        (HANDSHAKE.replace(b"\r\n\r\n", b"\r\nX-L: " + b"x" * 7_999 + b"\r\n\r\n"), 431),
    ],
    ids=["version", "key", "no key", "long line"],
)
def test_a_handshake_that_is_none_is_answered(host: Host, loop: str, wrong: bytes, status: int) -> None:
    """The client gets an answer immediately, and does not wait for a handshake."""
    with live(host, loop=loop) as server, server.connect(wrong % b"/ws") as client:
        assert everything(client).startswith(b"HTTP/1.1 %d " % status)
        server.until(lambda: len(server.server.limiter) == 0)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_raise(pieces: Sequence[bytes]) -> None:
    """Any bytes after a handshake are handled, or close the socket."""
    harness = Harness()
    asyncio.run(harness.feed(*pieces))
    assert harness.errors == []


# ---- clients that send too much --------------------------------------------------------------------------------

FLOOD = frame(Opcode.BINARY, bytes(100_000))
FLOODS = {
    "pings": frame(Opcode.PING, b"x" * 125),
    "pongs": frame(Opcode.PONG, b""),
    "empty binary frames": frame(Opcode.BINARY),
    "empty texts": frame(Opcode.TEXT),
    "{}": frame(Opcode.TEXT, b"{}"),
    "binary frames of nothing": frame(Opcode.BINARY, encode("", 0)),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_its_session_and_no_other(host: Host, loop: str, flood: str, action: Callable[..., str]) -> None:
    """The close code is that of a policy. Another client is answered meanwhile, and nothing of the flood stays."""
    with live(host, ConnectionLimits(close_seconds=0.5), loop=loop) as server, polite(server) as other:
        client = Bare(server, path_of(server))
        client.socket.settimeout(PATIENCE)
        sent = FLOODS[flood] * (65_536 // len(FLOODS[flood]))
        try:
            for number in range(400):
                client.socket.sendall(sent)
                if number < 5:
                    other.send(action(str(number), "add", a=number, b=1))
                    assert json.loads(other.recv(PATIENCE))["id"] == str(number)
        except OSError:
            pass  # it was closed
        else:
            raise AssertionError("nobody has stopped it")
        other.send(action("last", "add", a=1, b=1))
        assert json.loads(other.recv(PATIENCE))["id"] == "last"
        client.socket.close()
        server.until(lambda: (host.open_sessions, len(server.server.limiter)) == (1, 1))


def test_pongs_wait_while_the_client_does_not_read() -> None:
    """They use no memory. The last ping is answered when the client reads again."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        harness.socket.data_received(frame(Opcode.PING, b"first"))
        assert harness.transport.pongs == [b"first"]
        harness.socket.pause_writing()
        for each in range(20_000):
            harness.socket.data_received(frame(Opcode.PING, b"%d" % each))
        await harness.settle()
        assert harness.transport.pongs == [b"first"]
        harness.socket.resume_writing()
        assert harness.transport.pongs == [b"first", b"19999"]

    asyncio.run(run())


def test_each_turn_of_the_loop_handles_a_few_frames() -> None:
    """So many small frames of one client do not delay others for long. It is not read during that time."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        received = harness.app.received
        harness.socket.data_received(frame(Opcode.TEXT, b"x") * 10_000)
        seen = [len(received)]
        assert harness.transport.paused
        while len(received) < 10_000:
            await asyncio.sleep(0)
            seen.append(len(received))
        assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= 20
        await harness.settle()
        assert not harness.transport.paused

    asyncio.run(run())


def test_a_client_that_continues_after_the_end_is_not_read() -> None:
    """What was already sent is dropped. What comes later stays with the client."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        harness.app.close_frame = CloseFrame(1008)
        harness.app.say("last")
        for _ in range(100):
            harness.socket.data_received(frame(Opcode.TEXT, b"x"))
        assert harness.transport.reads == [True]
        for _ in range(10_000):
            harness.socket.data_received(frame(Opcode.TEXT, b"x"))
        assert harness.transport.reads == [True, False]
        assert harness.app.received == []

    asyncio.run(run())


def test_what_is_said_waits_while_the_client_does_not_read() -> None:
    """Messages wait where their number is limited, and are sent in order afterwards."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        harness.socket.pause_writing()
        for number in range(10):
            harness.app.say(str(number))
        assert harness.transport.texts == []
        harness.socket.resume_writing()
        assert harness.transport.texts == [str(number) for number in range(10)]

    asyncio.run(run())


def test_a_client_that_stops_reading_is_slow_and_gone(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its session ends, the socket is closed, no connection or session stays, and the log says so once."""
    host = limited(outbox=200, in_flight=1_000, rate=100_000, burst=100_000)
    with live(host, ConnectionLimits(close_seconds=0.2), loop=loop) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        client.settimeout(PATIENCE)
        client.connect(server.address)
        sent = [HANDSHAKE % path_of(server).encode(), frame(Opcode.TEXT, READY.encode())]
        describe = '{"label": "rtvi-ai", "type": "describe-actions", "id": "%d", "data": {}}'
        try:
            client.sendall(b"".join(sent))
            for number in range(50_000):
                client.sendall(frame(Opcode.TEXT, (describe % number).encode()))
        except OSError:
            pass
        server.until(lambda: (host.open_sessions, len(server.server.limiter)) == (0, 0))
        client.close()
    assert len([each for each in caplog.messages if "The client does not read what is sent to it." in each]) == 1


def test_a_client_that_answers_no_ping_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent one ping before."""
    monkeypatch.setattr(websocket, "_failures", LogThrottle(logging.getLogger("rtvi_plugins.server")))

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        now = asyncio.get_running_loop().time()
        for second in range(60):
            harness.check(now + second)
        assert harness.transport.closed
        assert harness.transport.payloads(Opcode.PING) == [b""]

    asyncio.run(run())
    assert caplog.messages == ["closed a WebSocket: the client does not answer pings"]


def test_a_client_is_asked_after_a_time_in_which_the_process_was_stopped() -> None:
    """It was not silent: nobody has listened. If it does not answer then, it is given up."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        now = asyncio.get_running_loop().time()
        harness.check(now)
        harness.check(now + 60)
        assert harness.transport.payloads(Opcode.PING) == [b""]
        harness.check(now + 79)
        assert not harness.transport.closed
        harness.check(now + 81)
        assert harness.transport.closed

    asyncio.run(run())


def test_a_silent_client_is_asked_and_given_up(host: Host, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """A client that answers stays. A client that does not answer has lost its network."""
    monkeypatch.setattr(websocket, "_PING_SECONDS", 0.5)
    monkeypatch.setattr(websocket, "_PONG_SECONDS", 1.0)
    with live(host, loop=loop) as server, bare(server) as silent, polite(server) as answering:
        pings = [opcode for opcode, _ in silent.frames()]
        assert pings == [Opcode.PING]
        server.until(lambda: (host.open_sessions, len(server.server.limiter)) == (1, 1))
        answering.ping().wait(PATIENCE)


# ---- the apps of others ----------------------------------------------------------------------------------------


class Echoing:
    """An ASGI app that does not know the framework."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        socket = AppWebSocket(scope, receive, send)
        await socket.accept(subprotocol="echo" if scope["subprotocols"] else None, headers=[(b"x-echo", b"1")])
        try:
            while True:
                event = await socket.receive()
                if event["type"] == "websocket.disconnect":
                    return
                if event.get("text") == "bye":
                    await socket.close(4_000, "as you like")
                    return
                await socket.send({**event, "type": "websocket.send"})
        except WebSocketDisconnect:
            return


async def refusing(socket: AppWebSocket) -> None:
    """Refuses without its own answer."""
    await socket.close()


async def forgetful(socket: AppWebSocket) -> None:
    """Answers nothing."""


async def unfinished(socket: AppWebSocket) -> None:
    """Begins to refuse."""
    await socket.send({"type": "websocket.http.response.start", "status": 401})


async def talking(socket: AppWebSocket) -> None:
    """Sends a text and bytes."""
    await socket.accept()
    await socket.send_text("x" * 1_000)
    await socket.send_bytes(b"x" * 1_000)
    await socket.receive()


async def silent(socket: AppWebSocket) -> None:
    """Accepts, and reads nothing."""
    await socket.accept()
    await asyncio.sleep(600)


def test_any_app_can_have_a_websocket(host: Host, loop: str) -> None:
    """It gets and sends ASGI events, as with uvicorn's own protocol."""
    with live(host, loop=loop, routes=[WebSocketRoute("/echo", Echoing())]) as server:
        address = f"ws://127.0.0.1:{server.address[1]}/echo"
        with connect(address, proxy=None, subprotocols=["echo"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "echo"
            assert client.response is not None
            assert client.response.headers["x-echo"] == "1"
            for number in range(500):
                client.send(str(number))
            assert [client.recv(PATIENCE) for _ in range(500)] == [str(number) for number in range(500)]
            client.send(b"bytes")
            assert client.recv(PATIENCE) == b"bytes"
            client.send("bye")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4_000, "as you like")
        server.until(lambda: len(server.server.limiter) == 0)
        server.until(lambda: len(server.server.server_state.tasks) == 0)


@pytest.mark.parametrize(("path", "status"), [("/refusing", 403), ("/forgetful", 500), ("/unfinished", 500)])
def test_an_app_may_refuse(host: Host, path: str, status: int) -> None:
    """The status is 403. An app that does not answer has failed."""
    routes = [WebSocketRoute(f"/{each.__name__}", each) for each in (refusing, forgetful, unfinished)]
    with live(host, routes=routes) as server:
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.address[1]}{path}", proxy=None):
            raise AssertionError("the handshake succeeded")
        assert refused.value.response.status_code == status


def test_an_app_that_reads_nothing_stops_its_client(host: Host, loop: str) -> None:
    """Messages that it does not take stay in the socket. The end of the client is noticed nevertheless."""
    with live(host, loop=loop, routes=[WebSocketRoute("/silent", silent)]) as server:
        server.server.config.ws_ping_interval = 0.5
        with bare(server, "/silent") as client:
            client.socket.settimeout(0.5)
            sent = 0
            try:
                while sent < 100_000_000:
                    sent += client.socket.send(FLOOD)
            except TimeoutError:
                pass
            assert sent < 100_000_000
        server.until(lambda: len(server.server.limiter) == 0)


def test_what_an_app_sends_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a client that reads slowly is not treated as one that does not read."""
    written: list[int] = []

    def wrote(connection: TrackedConnection, size: int) -> None:
        written.append(size)

    monkeypatch.setattr(TrackedConnection, "wrote", wrote)
    with live(host, routes=[WebSocketRoute("/talking", talking)]) as server, bare(server, "/talking") as client:
        frames = client.frames()
        assert [len(next(frames)[1]) for _ in range(2)] == [1_000, 1_000]
    assert written == [1_000, 1_000]


@pytest.mark.parametrize("rest", [frame(Opcode.CONT, fin=False) * 300, frame(Opcode.CONT, b" " * 300_000, fin=False)])
def test_an_app_gets_no_message_without_end(host: Host, rest: bytes) -> None:
    """This applies to very many fragments, and to more bytes than an address may store in incomplete messages."""
    limits = ConnectionLimits(buffered_bytes_per_address=200_000)
    with live(host, limits, routes=[WebSocketRoute("/silent", silent)]) as server, bare(server, "/silent") as client:
        client.socket.sendall(frame(Opcode.TEXT, b"x", fin=False) + rest)
        assert list(client.frames()) == []
        server.until(lambda: len(server.server.limiter) == 0)


# ---- without a network -----------------------------------------------------------------------------------------


class FakeTransport:
    """Stores what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.paused = self.closed = False
        #: Whether it was read, at first and after each change.
        self.reads = [True]

    def set_protocol(self, protocol: asyncio.BufferedProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True
        self.reads.append(False)

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False
        self.reads.append(True)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def payloads(self, opcode: Opcode) -> list[bytes]:
        """Return the payloads of all frames of a kind. Each must be short."""
        found: list[bytes] = []
        data = b"".join(self.written[1:])
        while data:
            size = data[1]
            if data[0] & 15 == opcode:
                found.append(data[2 : 2 + size])
            data = data[2 + size :]
        return found

    @property
    def pongs(self) -> list[bytes]:
        return self.payloads(Opcode.PONG)

    @property
    def texts(self) -> list[str]:
        return [each.decode() for each in self.payloads(Opcode.TEXT)]


class FakeApp:
    """Stores what it receives, and sends what a test tells it."""

    def __init__(self) -> None:
        self.on_sendable: Callable[[], None] | None = None
        self.close_frame: CloseFrame | None = None
        self.received: list[str | bytes] = []
        self._said: list[str | bytes] = []

    def charge(self, size: int) -> bool:
        return True

    def receive(self, data: str | bytes) -> CloseFrame | None:
        self.received.append(data)
        return None

    def say(self, text: str) -> None:
        self._said.append(text)
        assert self.on_sendable is not None
        self.on_sendable()

    def take(self) -> Sequence[str | bytes]:
        said, self._said = self._said, []
        return said

    def disconnected(self, *, left: bool = False) -> None:
        pass


class Harness:
    """The protocol on a fake transport."""

    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.transport = FakeTransport()
        self.app = FakeApp()
        self.limiter = ConnectionLimiter(ConnectionLimits())
        self.socket: Any
        #: What the server calls once a second.
        self.check: Callable[[float], None]

    async def begin(self) -> None:
        """Make a handshake."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"][EXTENSION]["attach"](self.app)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        config = uvicorn.Config(app, log_config=None)
        config.load()
        connection = self.limiter.admit("127.0.0.1")
        assert connection is not None
        self.check = connection.check
        self.socket = HandshakeProtocol(config=config, server_state=ServerState(), app_state={}, connection=connection)
        self.socket.connection_made(self.transport)
        self.socket.data_received(HANDSHAKE % b"/")
        await self.settle()
        self.socket = self.transport.protocol
        assert self.transport.written[0].startswith(b"HTTP/1.1 101")

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def feed(self, *pieces: bytes) -> None:
        """Begin, receive some bytes, and end."""
        await self.begin()
        for each in pieces:
            if not self.transport.closed:
                self.socket.data_received(each)
                await self.settle()
        self.socket.connection_lost(None)
        await self.settle()


def test_incomplete_frames_of_an_address_are_bounded_in_total(host: Host, loop: str) -> None:
    """Connections above the limit are closed, and others continue. Afterwards, their memory is free."""
    limits = ConnectionLimits(buffered_bytes_per_address=350_000, buffered_bytes=50_000, close_seconds=0.2)
    part = frame(Opcode.TEXT, b" " * 100_000)[:-1]
    with live(host, limits, loop=loop) as server, ExitStack() as held:
        for number in range(3):
            held.enter_context(bare(server)).socket.sendall(part)
            server.until(lambda: server.buffered > (number + 1) * 100_000)  # noqa: B023
        for _ in range(2):
            with bare(server) as client:
                client.socket.sendall(part)
                assert client.closed()[0] == 1008
        server.until(lambda: len(server.server.limiter) == 3)
        with bare(server) as other:
            other.socket.sendall(frame(Opcode.TEXT, READY.encode()))
            assert b"bot-ready" in next(other.frames())[1]
    assert server.buffered == 0


def test_fragments_count_as_incomplete(host: Host, loop: str) -> None:
    """The memory of a message in pieces counts in the same way as that of a frame."""
    limits = ConnectionLimits(buffered_bytes_per_address=300_000, buffered_bytes=50_000)
    with live(host, limits, loop=loop) as server, bare(server) as client:
        client.socket.sendall(frame(Opcode.TEXT, b" ", fin=False) + frame(Opcode.CONT, b" " * 30_000, fin=False) * 20)
        assert client.closed() == (1008, "Too many long messages of this address are incomplete.")


def test_a_connection_that_was_lost_among_many_frames_is_not_counted_again() -> None:
    """Its last frames are handled in later turns of the loop, when nothing of it is stored any more."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        harness.socket.data_received(frame(Opcode.TEXT, b" " * 100_000, fin=False) + frame(Opcode.PING) * 1_000)
        assert harness.limiter.buffered("127.0.0.1") > 100_000
        harness.socket.connection_lost(None)
        await harness.settle()
        assert harness.limiter.buffered("127.0.0.1") == 0

    asyncio.run(run())


def test_a_client_that_is_lost_gets_no_pongs() -> None:
    """Otherwise, the event loop would log each of them."""

    async def run() -> None:
        harness = Harness()
        await harness.begin()
        harness.transport.closed = True
        harness.socket.data_received(frame(Opcode.PING, b"x") * 1_000)
        await harness.settle()
        assert harness.transport.pongs == []

    asyncio.run(run())
