"""Connections: how many are allowed, how long a request may take to arrive, and how large it may be."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live import DESK, PATIENCE, Live, answer, everything, live
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtvi_plugins.errors import ServerFull
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.loading import load_bot
from rtvi_plugins_server._addresses import Proxies, client_group, trusted_proxies
from rtvi_plugins_server._uvicorn import http_guard
from rtvi_plugins_server._uvicorn.acceptor import Acceptor
from rtvi_plugins_server._uvicorn.chunked_body import ChunkedBody
from rtvi_plugins_server._uvicorn.connections import (
    ConnectionLimiter,
    ConnectionLimits,
    RequestRate,
    TrackedConnection,
)

HANDSHAKE = (
    b"GET /ws?token=x HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
START = b"POST /start HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Serve with one of the two HTTP parsers."""
    if request.param == "h11":
        monkeypatch.setattr("rtvi_plugins_server._uvicorn.server.guarded_protocol", lambda: http_guard.GuardedH11)
    else:
        pytest.importorskip("httptools")
    return str(request.param)


def quick(**limits: Any) -> ConnectionLimits:
    """Return limits whose times end immediately."""
    times: dict[str, Any] = {"head_seconds": 0.05, "body_seconds": 0.05, "close_seconds": 0.05}
    return ConnectionLimits(**{**times, **limits})


def none_is_left(server: Live) -> None:
    """Check that every connection is closed and no longer counted."""
    server.until(lambda: len(server.server.limiter) == 0)


# ---- each connection -------------------------------------------------------------------------------------------


def test_a_kept_connection_answers_without_a_delay(host: Host) -> None:
    """Nagle's algorithm would delay the second packet of an answer by 40 ms."""
    with live(host) as server, server.connect() as client:
        server.until(lambda: len(server.server.limiter) == 1)
        (connection,) = server.server.limiter.connections
        accepted = server.ask(lambda: connection.transport and connection.transport.get_extra_info("socket"))
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()
        none_is_left(server)


# ---- requests that do not end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "missing"),
    [
        (b"", "head"),
        (b"GET /hea", "head"),
        (HEALTH[:-2], "head"),
        (HANDSHAKE, "head"),
        (START + b"Content-Length: 10\r\n\r\n{", "body"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "body"),
    ],
    ids=["silent", "half a line", "half a head", "half a handshake", "half a body", "half a chunk"],
)
def test_what_does_not_come_is_not_waited_for(host: Host, parser: str, sent: bytes, missing: str) -> None:
    """The client reads the reason, and its connection is closed."""
    with live(host, quick()) as server, server.connect(sent) as client:
        status, body = answer(client)
        assert (status, body["error"]) == (408, "request-timeout")
        assert f"The {missing} of the request did not come" in body["info"]
        none_is_left(server)


def test_a_connection_on_which_nothing_more_is_asked_is_closed(host: Host, parser: str) -> None:
    """This is so even if another head was begun on it."""
    with live(host) as server:
        server.server.config.timeout_keep_alive = 0
        with server.connect(HEALTH + b"GET /hea") as client:
            assert b"200 OK" in everything(client)
            none_is_left(server)


# ---- requests that two parsers could read differently ----------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        b"X-A: 1\r\n Content-Length: 9\r\n",
        b"Content-Length : 2\r\n",
        b"X-A: 1\nContent-Length: 2\r\n",
        b"X-A: 1\rContent-Length: 2\r\n",
        b"X-A\r\n",
        b": 1\r\n",
        b"X-A: \0\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 2, 2\r\n",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(host: Host, parser: str, headers: bytes) -> None:
    """A proxy before the server may have read it in the other way."""
    with live(host) as server, server.connect(START + headers + b"\r\n{}") as client:
        status, body = answer(client)
        assert (status, body["error"]) == (400, "bad-request")
        none_is_left(server)


@pytest.mark.parametrize("path", [b"/\xc3\xa9", b"/\xff"])
@pytest.mark.parametrize("upgrade", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_a_path_of_other_than_ascii_characters_is_refused(host: Host, parser: str, path: bytes, upgrade: bytes) -> None:
    """The client reads how to write it."""
    with (
        live(host) as server,
        server.connect(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n") as client,
    ):
        status, body = answer(client)
        assert (status, body["error"]) == (400, "bad-request")
        assert "ASCII" in body["info"]
        none_is_left(server)


@pytest.mark.parametrize(
    "body",
    [b"2\r\n{}\r\n0\r\nX-A: 1\r\n\r\n", b"2\n{}\r\n0\r\n\r\n", b"0x2\r\n{}", b"-2\r\n", b"2;" + b"x" * 300, b"\r\n"],
    ids=["trailer", "line feed", "prefix", "sign", "long extension", "no size"],
)
def test_a_body_in_chunks_that_cannot_be_read_is_refused(host: Host, parser: str, body: bytes) -> None:
    """This includes trailers: nothing here reads them, and a parser would store them all."""
    head = START + b"Transfer-Encoding: chunked\r\n\r\n"
    with live(host) as server, server.connect(head + body) as client:
        status, refusal = answer(client)
        assert (status, refusal["error"]) == (400, "bad-request")
        none_is_left(server)


def test_a_request_behind_a_body_in_chunks_is_checked_like_any_other(host: Host, parser: str) -> None:
    """This is so even if it comes in the same packet."""
    first = START + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    second = START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with live(host) as server, server.connect(first + second) as client:
        answers = everything(client)
        assert answers.index(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 400")


@given(
    sizes=st.lists(st.integers(1, 40), max_size=5),
    after=st.binary(max_size=20),
    cuts=st.lists(st.integers(1, 30), min_size=1),
)
def test_a_body_in_chunks_ends_where_it_ends_however_it_is_cut(sizes: list[int], after: bytes, cuts: list[int]) -> None:
    """The data of a chunk may contain anything, and a line may come in pieces."""
    body = b"".join(b"%x;a=b\r\n%b\r\n" % (size, b"\r\n0"[:size].ljust(size)) for size in sizes) + b"0\r\n\r\n"
    sent, taken, chunked = body + after, 0, ChunkedBody()
    for cut in itertools.cycle(cuts):
        if chunked.ended:
            break
        taken += chunked.feed(sent[taken : taken + cut])
    assert taken == len(body)
    assert chunked.feed(after) == 0


def test_a_body_of_very_many_chunks_is_read_in_turns(host: Host, parser: str) -> None:
    """A few are read at a time. To read thousands of them at once would delay all others."""
    most = 0

    async def count(request: Request) -> Response:
        nonlocal most
        size = 0
        async for part in request.stream():
            size, most = size + len(part), max(most, len(part))
        return Response(str(size))

    head = b"POST /count HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n"
    with live(host, routes=[Route("/count", count, methods=["POST"])]) as server, server.connect(head) as client:
        client.sendall(body)
        assert everything(client).endswith(b"\r\n\r\n50000")
    assert most <= 256


def test_requests_that_are_sent_together_are_parsed_one_at_a_time(host: Host, parser: str) -> None:
    """Thousands fit into one read, and to parse them together would delay all others."""
    released, waiting = asyncio.Event(), list[bool]()

    async def wait(request: Request) -> Response:
        waiting.append(True)
        await released.wait()
        return Response()

    slow = b"GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    limits = ConnectionLimits(connections_per_address=10_000)
    with (
        live(host, limits, routes=[Route("/wait", wait)]) as server,
        server.connect(slow + HEALTH * 2_000) as client,
    ):
        server.until(lambda: bool(waiting))
        (connection,) = server.ask(lambda: list(server.server.server_state.connections))
        assert not getattr(connection, "pipeline", ())
        server.ask(released.set)
        seen = b""
        while seen.count(b'"status":"ok"') < 2_000:
            seen += client.recv(65_536)
        assert seen.count(b"HTTP/1.1 200") == 2_001


# ---- requests that are too large -------------------------------------------------------------------------------


@pytest.mark.parametrize("beginning", [HEALTH[:-2], HANDSHAKE], ids=["request", "handshake"])
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (b"Cookie: " + b"x" * 20_000 + b"\r\n\r\n", "longer than 16384 bytes"),
        (b"Cookie: " + b"x" * 20_000, "longer than 16384 bytes"),
        (b"Cookie: " + b"x" * 9_000 + b"\r\n\r\n", "longer than 8000 bytes"),
        (b"".join(b"X-%d: 1\r\n" % each for each in range(200)) + b"\r\n", "more than 100 headers"),
    ],
    ids=["cookie", "without an end", "a long line", "200 headers"],
)
def test_a_head_that_is_too_large_is_answered(
    host: Host, parser: str, beginning: bytes, more: bytes, sentence: str
) -> None:
    """A browser with a large cookie reads what is wrong, instead of waiting."""
    with live(host) as server, server.connect(beginning + more) as client:
        status, body = answer(client)
        assert (status, body["error"]) == (431, "headers-too-large")
        assert sentence in body["info"]
        none_is_left(server)


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: -2\r\n\r\n{}",
        b"Content-Length: two\r\n\r\n{}",
        b"nonsense\r\n\r\n",
    ],
)
def test_a_request_of_two_lengths_is_refused(host: Host, parser: str, headers: bytes) -> None:
    """A proxy may have read the other length, so what follows cannot be trusted."""
    with live(host) as server, server.connect(START + headers + HEALTH) as client:
        status, body = answer(client)
        assert (status, body["error"]) == (400, "bad-request")
        none_is_left(server)


# ---- requests as they should be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_requests_follow_each_other_on_a_connection(host: Host, parser: str, body: bytes) -> None:
    """This is true for any division into pieces."""
    with live(host) as server, server.connect() as client:
        for _ in range(3):
            for at in range(0, len(START + body), 7):
                client.sendall((START + body)[at : at + 7])
            got = b""
            while not got.endswith(b"}"):
                got += client.recv(65_536)
            assert b"200 OK" in got
        client.sendall(HEALTH + b"\r\n" * 5_000 + HEALTH)
        got = b""
        while got.count(b"200 OK") < 2:
            got += client.recv(65_536)


def test_a_refusal_leaves_the_connection_to_the_next_request(host: Host, parser: str) -> None:
    """The rest of the body is not read as the next head."""
    with live(host, body_bytes=10) as server, server.connect() as client:
        client.sendall(START + b"Content-Length: 1000\r\n\r\n" + b" " * 1000)
        assert b"413" in client.recv(65_536)
        client.sendall(HEALTH)
        assert b"200 OK" in client.recv(65_536)


# ---- how many --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["connections", "connections_per_address"])
def test_no_more_connections_than_the_bound(host: Host, caplog: pytest.LogCaptureFixture, bound: str) -> None:
    """Further connections get an error and are closed. The log has one line. When one ends, another is accepted."""
    limits = {"connections": 3, "connections_per_address": 100} if bound == "connections" else {bound: 3}
    with live(host, quick(proxies=Proxies(["127.0.0.1"] if bound == "connections" else []), **limits)) as server:
        held = [server.connect() for _ in range(3)]
        server.until(lambda: len(server.server.limiter) == 3)
        for _ in range(50):
            with server.connect() as client:
                status, body = answer(client)
                assert (status, body["error"], body["retryable"]) == (503, "server-full", True)
        held.pop().close()
        server.until(lambda: len(server.server.limiter) == 2)
        with server.connect(HEALTH) as client:
            assert b"200 OK" in client.recv(65_536)
        for each in held:
            each.close()
        none_is_left(server)
    assert len([each for each in caplog.records if "refused a connection" in each.message]) == 1


def test_clients_that_take_nothing_are_counted_and_given_up(host: Host) -> None:
    """They count until their sockets are closed, which happens soon."""
    with live(host, quick(stalled_seconds=0.1)) as server:
        clients: list[socket.socket] = []
        for _ in range(3):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.connect(server.address)
            client.setblocking(False)
            clients.append(client)
            try:
                for _ in range(300):
                    client.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            except BlockingIOError:
                pass
        server.until(lambda: len(server.server.limiter) == 3)
        none_is_left(server)
        for each in clients:
            each.close()


class Slow(asyncio.Transport):
    """A transport in which some bytes wait to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


def test_a_client_that_reads_slower_than_it_is_sent_is_not_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Its queue grows each second, but it takes most of what is sent. A client that takes nothing is given up."""
    limiter, transport = ConnectionLimiter(ConnectionLimits(stalled_seconds=20)), Slow()
    connection = limiter.admit("192.0.2.1")
    assert connection is not None
    connection.attach(transport, lambda now: None)
    for second in range(60):
        connection.wrote(48_000)
        transport.waiting += 1_000
        limiter.check(second)
    assert not transport.is_closing()
    assert caplog.messages == []
    for second in range(60, 81):
        limiter.check(second)
    assert transport.is_closing()
    assert caplog.messages == ["closed a connection: the client does not read"]


def test_exhausted_descriptors_are_logged_once(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are accepted again as soon as there is something to accept them with."""
    monkeypatch.setattr("rtvi_plugins_server._uvicorn.acceptor._RETRY_SECONDS", 0.01)

    async def accept() -> None:
        loop = asyncio.get_running_loop()
        left, original = [20], loop.sock_accept
        accepted: asyncio.Future[TrackedConnection] = loop.create_future()

        async def failing(listener: socket.socket) -> Any:
            if left[0]:
                left[0] -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return await original(listener)

        monkeypatch.setattr(loop, "sock_accept", failing)

        def make(connection: TrackedConnection) -> asyncio.Protocol:
            accepted.set_result(connection)
            return asyncio.Protocol()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            acceptor = Acceptor(listener, ConnectionLimiter(ConnectionLimits()), make)
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            await accepted
            writer.close()
            acceptor.close()
            await acceptor.wait_closed()

    caplog.set_level(logging.WARNING)
    loop = asyncio.SelectorEventLoop()  # uvloop's methods cannot be replaced
    try:
        loop.run_until_complete(accept())
    finally:
        loop.close()
    logged = [each.getMessage() for each in caplog.records if each.name == "rtvi_plugins.server"]
    assert logged == [
        "no connection can be accepted: Too many open files; trying again every second",
        "connections are accepted again",
    ]


def test_a_process_keeps_descriptors_for_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the limit of connections is reached before that of descriptors."""
    resource = pytest.importorskip("resource")

    def getrlimit(which: int) -> tuple[int, int]:
        return 128, 128

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    limiter = ConnectionLimiter(ConnectionLimits())
    entered = [limiter.admit(f"192.0.2.{each}") for each in range(200)]
    assert sum(each is not None for each in entered) == 96


def test_one_address_never_takes_all_connections() -> None:
    """Half of them stay available for others, however few there are."""
    limiter = ConnectionLimiter(ConnectionLimits(connections=10))
    assert [limiter.admit("192.0.2.1") is not None for _ in range(10)] == [True] * 5 + [False] * 5
    assert limiter.admit("192.0.2.2") is not None


# ---- whose address ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "client"),
    [
        ("203.0.113.7", [], [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], [], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1"], ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], ["10.0.0.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1, 10.0.0.2"], ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.1", [], ["10.0.0.1"], None),
        ("10.0.0.1", ["nonsense"], ["10.0.0.1"], None),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1:4711"], ["10.0.0.1"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], ["10.0.0.1"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]"], ["10.0.0.1"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::4", [], [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", [], [], "203.0.113.7"),
        ("testclient", [], [], None),
    ],
)
def test_a_client_is_known_by_its_address(peer: str, forwarded: list[str], proxies: list[str], client: str) -> None:
    """The address is that of the connection, or the one that a configured proxy reports. Others are not believed."""
    assert client_group(peer, forwarded, Proxies(proxies)) == client


def test_behind_a_proxy_that_was_not_named_clients_are_not_told_apart() -> None:
    """All connections come from the proxy, whatever its address."""
    assert client_group("10.0.0.1", ["192.0.2.66"], trusted_proxies([], "https://bots.example")) is None
    assert client_group("10.0.0.1", [], trusted_proxies(["10.9.9.9"], "https://bots.example")) == "10.0.0.1"


def test_one_address_does_not_take_all_sessions_that_may_wait() -> None:
    """Other clients can start sessions. So can this one, when clients have connected to its own."""
    host = Host(load_bot(f"{DESK}:desk"), environ={}, limits=Limits(unclaimed=8, unclaimed_per_address=4))
    with live(host, proxies=["127.0.0.1"]) as server:
        url = f"http://127.0.0.1:{server.address[1]}/start"

        def start(address: str) -> httpx2.Response:
            return httpx2.post(url, headers={"x-forwarded-for": address}, trust_env=False)

        assert [start("192.0.2.1").status_code for _ in range(6)] == [200] * 4 + [503] * 2
        assert start("192.0.2.1").json()["error"] == ServerFull.code
        found = start("192.0.2.2")
        assert found.status_code == 200
        assert server.ask(lambda: host.open_sessions) == 5


@pytest.mark.anyio
async def test_the_operators_starts_are_not_counted_by_address(make_host: Callable[..., Host]) -> None:
    """The operator's server starts sessions for all users."""
    async with make_host("office") as host:
        for _ in range(host.limits.unclaimed_per_address + 1):
            await host.start(secret="secret-of-a-test", address="192.0.2.1")


@pytest.mark.anyio
async def test_a_start_that_fails_or_is_claimed_counts_no_more(make_host: Callable[..., Host]) -> None:
    """Only waiting sessions count."""
    async with make_host("desk") as host:
        for _ in range(3 * host.limits.unclaimed_per_address):
            host.claim((await host.start(address="192.0.2.1")).token).close()


# ---- one address among others --------------------------------------------------------------------------------------


def test_an_address_that_sends_very_many_requests_waits() -> None:
    """Twice the number per second passes at once. The rest is spread evenly, whatever was sent."""
    rate = RequestRate(100)
    delays = [rate.delay("192.0.2.1", 1_000.0) for _ in range(1_000)]
    assert sum(each == 0 for each in delays) == 201  # and one is due now
    assert delays[-1] == pytest.approx(7.99)  # pyright: ignore[reportUnknownMemberType]
    assert rate.delay("192.0.2.2", 1_000.0) == 0
    assert rate.delay("192.0.2.1", 1_010.0) == 0


def test_addresses_are_forgotten_when_they_are_quiet() -> None:
    """This is true for any number of addresses."""
    rate = RequestRate(100)
    for each in range(1_000):
        rate.delay(f"192.0.2.{each}", 1_000.0)
    rate.forget(1_001.0)
    assert rate.delay("192.0.2.1", 1_001.0) == 0
    rate.forget(1_010.0)
    assert rate.__dict__["_due"] == {}


def test_requests_that_wait_are_not_handled_and_delay_no_other_address(host: Host, parser: str) -> None:
    """A few are answered. The others stay unread, and do not count as requests that do not arrive."""
    handled = list[str]()

    async def count(request: Request) -> Response:
        assert request.client is not None
        handled.append(request.client.host)
        return Response()

    limits = ConnectionLimits(connections_per_address=2, head_seconds=0.1)
    with live(host, limits, routes=[Route("/count", count)]) as server:
        request = b"GET /count HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with server.connect(request * 50) as first, server.connect(request * 50):
            server.until(lambda: len(handled) >= 5)
            other = socket.create_connection(server.address, timeout=PATIENCE, source_address=("127.0.0.2", 0))
            with other:
                other.sendall(request)
                assert b"200 OK" in other.recv(65_536)
            assert handled.count("127.0.0.1") <= 10
            server.until(lambda: handled.count("127.0.0.1") > 6)
            assert b"408" not in first.recv(65_536)


def test_incomplete_messages_of_an_address_are_bounded_in_total() -> None:
    """A connection that stores little is never refused because of other connections of its address."""
    limiter = ConnectionLimiter(ConnectionLimits(buffered_bytes_per_address=1_000_000, buffered_bytes=50_000))
    made = [limiter.admit("192.0.2.1") for _ in range(20)]
    kept = [each.may_buffer(100_000) for each in made if each is not None]
    assert kept == [True] * 10 + [False] * 10
    first, last = made[0], limiter.admit("192.0.2.1")
    assert first is not None
    assert last is not None
    assert last.may_buffer(50_000)
    for each in made[10:]:
        assert each is not None
        each.closed()
    assert not last.may_buffer(100_000)
    first.may_buffer(0)
    assert last.may_buffer(100_000)
    other = limiter.admit("192.0.2.2")
    assert other is not None
    assert other.may_buffer(1_000_000)


def test_bodies_that_do_not_end_are_bounded_in_total(host: Host, parser: str) -> None:
    """Those above the limit are answered and closed."""
    limits = ConnectionLimits(buffered_bytes_per_address=300_000, buffered_bytes=50_000)
    body = START + b"Content-Length: 1000000\r\n\r\n" + b" " * 100_000
    with live(host, limits) as server, ExitStack() as held:
        for number in range(3):
            held.enter_context(server.connect(body))
            server.until(lambda: server.buffered >= (number + 1) * 100_000)  # noqa: B023
        for _ in range(2):
            with server.connect(body) as client:
                status, found = answer(client)
                assert (status, found["error"], found["retryable"]) == (429, "rate-limited", True)
        server.until(lambda: len(server.server.limiter) == 3)
    assert server.buffered == 0


def test_a_body_that_the_app_drops_is_not_too_much_for_its_address(host: Host, parser: str) -> None:
    """The client reads that its body is too long, and not that it should send it again later."""
    size = 10_000_000
    with (
        live(host) as server,
        server.connect(START + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size) as client,
    ):
        client.sendall(b" " * size)
        status, body = answer(client)
    assert (status, body["error"], body["retryable"]) == (413, "message-too-large", False)


def test_incomplete_messages_of_all_addresses_are_bounded_in_total() -> None:
    """This includes those that are not counted by address, behind a proxy."""
    limiter = ConnectionLimiter(ConnectionLimits(buffered_bytes_in_total=1_000_000, proxies=Proxies(["198.51.100.1"])))
    peers = ["198.51.100.1"] * 5 + [f"192.0.2.{each}" for each in range(10)]
    made = [each for each in map(limiter.admit, peers) if each is not None]
    assert [each.may_buffer(100_000) for each in made] == [True] * 10 + [False] * 5
    for each in made:
        each.closed()
    assert all(each.may_buffer(100_000) for each in map(limiter.admit, peers[:10]) if each is not None)


def test_a_request_that_waits_keeps_its_connection(host: Host, parser: str) -> None:
    """A connection is not idle while a request on it waits."""
    with live(host) as server:
        server.server.config.timeout_keep_alive = 1
        due = server.server.limiter.request_rate.__dict__["_due"]
        with server.connect(HEALTH) as client:
            server.until(lambda: "127.0.0.1" in due)
            server.ask(lambda: due.update({"127.0.0.1": asyncio.get_running_loop().time() + 1.5}))
            client.sendall(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert everything(client).count(b'"status":"ok"') == 2
