"""Streams over asyncio's own transports, on each loop; `test_http.py` and `test_websocket.py` use them too."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpcore2
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, connect_http, connect_websockets
from rtvi_plugins_vendor import http as http_module
from rtvi_plugins_vendor._transport import TransportStream
from rtvi_plugins_vendor.testing import Answer, FakeSocket, FakeVendor, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
MUCH = bytes(range(256)) * 16 * 1024  # 4 MiB
LOOPS = [("asyncio", {"use_uvloop": each}) for each in (False, True) if not each or find_spec("uvloop")]


@pytest.fixture(params=LOOPS, ids=lambda loop: "uvloop" if loop[1]["use_uvloop"] else "asyncio")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run on both loops, because their transports differ."""
    return request.param


@asynccontextmanager
async def connected(serve: Callable[[SocketStream], Awaitable[None]]) -> AsyncGenerator[Any]:
    """Connect to a server as httpx2 does."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with a_backend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
            assert isinstance(stream, TransportStream)
            yield stream
            await stream.aclose()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def a_backend() -> AsyncGenerator[Any]:
    """Yield the object with which a client of httpx2 connects."""
    async with connect_http("acme", None, base_url="http://acme.invalid") as http:
        client: Any = http.client
        yield client._transport._pool._network_backend


async def wait(stream: SocketStream) -> None:
    """Neither read nor write."""
    async with stream:
        await anyio.sleep_forever()


async def write_much(stream: Any, timeout: float) -> None:
    """Write more than the system keeps."""
    for _ in range(20):
        await stream.write(MUCH, timeout)


@asynccontextmanager
async def tls_vendor(authority: trustme.CA) -> AsyncGenerator[FakeVendor]:
    """Run a vendor with a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    vendor = FakeVendor(f"https://127.0.0.1:{tcp.extra(SocketAttribute.local_port)}")
    serve: Any = vendor.serve
    async with TLSListener(tcp, context, standard_compatible=False) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield vendor
        tasks.cancel_scope.cancel()


# ---- TLS -------------------------------------------------------------------------------------------------------------


async def test_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long requests, answers and messages arrive complete, and a connection is reused."""
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(http_module, "_tls", lambda: trusting)

    async def echo(socket: FakeSocket) -> None:
        async for message in socket:
            await socket.send(message)

    async with tls_vendor(authority) as vendor:
        vendor.on("/long", Answer(parts=[MUCH, MUCH]))
        vendor.on("/ws", echo)
        async with connect_http("acme", KEY, base_url=vendor.url) as http:
            for _ in range(2):
                async with http.stream("POST", "long", json={"text": "a" * 1_000_000}) as response:
                    network = response.raw.extensions["network_stream"]
                    assert network.get_extra_info("ssl_object").version().startswith("TLS")
                    assert await response.read(10**8) == MUCH + MUCH
        async with connect_websockets("acme", KEY, base_url=vendor.url) as acme, acme.open("ws") as stream:
            await stream.send(MUCH[:-100])
            assert await anext(stream) == MUCH[:-100]
    first, again, talk = vendor.requests
    assert first.connection == again.connection != talk.connection
    assert len(first.body) > 1_000_000
    assert (await talk.outcome(), talk.close_code) == ("left", 1000)


async def test_a_certificate_of_an_unknown_authority() -> None:
    """The key is not sent."""
    async with (
        tls_vendor(trustme.CA()) as vendor,
        connect_http("acme", KEY, base_url=vendor.url, retry=Retry(0)) as http,
    ):
        with pytest.raises(ProviderError) as failed:
            await http.get("models")
    assert failed.value.category == "unavailable"
    assert vendor.requests == []


@pytest.mark.parametrize("cuts", [False, True])
async def test_a_handshake_that_does_not_end(cuts: bool) -> None:
    """The connection is closed whether the other side is silent or leaves."""

    async def serve(stream: SocketStream) -> None:
        await (stream.aclose() if cuts else wait(stream))

    async with connected(serve) as stream:
        with pytest.raises(httpcore2.ConnectError if cuts else httpcore2.ConnectTimeout):
            await stream.start_tls(ssl.create_default_context(), "127.0.0.1", 0.1 if not cuts else 5.0)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"anything")


async def test_a_vendor_that_closes_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it arrives, although the vendor has closed before the last of it is read."""
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(http_module, "_tls", lambda: trusting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(server: socket.socket) -> None:
        with context.wrap_socket(server.accept()[0], server_side=True) as vendor:
            vendor.recv(10_000)
            vendor.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + MUCH)

    with socket.create_server(("127.0.0.1", 0)) as server:
        async with (
            connect_http("acme", None, base_url=f"https://127.0.0.1:{server.getsockname()[1]}") as http,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(anyio.to_thread.run_sync, serve, server)
            async with http.stream("GET", "") as response:
                assert len(await response.read(10**8)) == len(MUCH)


# ---- reading and writing ---------------------------------------------------------------------------------------------


async def test_the_streams_of_httpx2_are_these() -> None:
    """If this fails, an attribute of httpx2 may have a new name."""
    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url) as http:
        vendor.on("/", Answer(json={}))
        async with http.stream("GET", "") as response:
            assert isinstance(response.raw.extensions["network_stream"], TransportStream)


async def test_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections use these streams as well."""
    async with fake_vendor() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        proxy.on("/models", Answer(json=["a"]))
        acme = connect_http("acme", KEY, base_url="http://acme.invalid")
        async with acme as http, http.stream("GET", "models") as response:
            assert isinstance(response.raw.extensions["network_stream"], TransportStream)
            assert await response.json() == ["a"]


async def test_bytes_are_taken_as_they_arrive() -> None:
    """Those that arrived before are taken first. It returns when the vendor has ended its side."""
    taken = b""

    def take(data: bytes) -> None:
        nonlocal taken
        taken += data

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send(MUCH)
            await stream.receive()
            await stream.send(MUCH[::-1])

    async with connected(serve) as stream:
        await stream.write(b"go on")
        await anyio.wait_all_tasks_blocked()
        await stream.read_all(take)
        assert taken == MUCH + MUCH[::-1]
        await stream.read_all(take)
        assert await stream.read(1) == b""
    assert taken == MUCH + MUCH[::-1]


async def test_who_takes_bytes_may_raise_or_leave() -> None:
    """What arrives later can be read."""

    def refuse(data: bytes) -> None:
        raise ValueError(data)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async with connected(serve) as stream:
        await stream.write(b"first")
        with pytest.raises(ValueError, match="first"):
            await stream.read_all(refuse)
        await stream.write(b"second")
        assert await stream.read(100) == b"second"
    async with connected(serve) as stream:
        with anyio.move_on_after(0):
            await stream.read_all(refuse)
        await stream.write(b"third")
        assert await stream.read(100) == b"third"


async def test_what_is_not_read_stays_with_the_vendor() -> None:
    """Otherwise it would fill the memory. Everything can be read later, in pieces of any size."""
    sent = 0
    full = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        nonlocal sent
        async with stream:
            while sent < 64 * len(MUCH):
                with anyio.move_on_after(0.2) as patience:
                    await stream.send(MUCH)
                if patience.cancelled_caught:
                    break
                sent += len(MUCH)
            full.set()

    async with connected(serve) as stream:
        await full.wait()
        assert sent < 16 * len(MUCH)
        assert stream._size < 1_000_000
        assert await stream.read(3) == b"\x00\x01\x02"
        got = 3
        while data := await stream.read(1000):
            assert data[0] == got % 256
            assert len(data) <= 1000
            got += len(data)
        assert got >= sent
        assert await stream.read(1000) == b""


async def test_timeouts() -> None:
    """A read has a timeout, and so does a write that the other side does not take."""

    async def serve(stream: SocketStream) -> None:
        await stream.receive(1)  # on asyncio, all of it is read before the first call
        await wait(stream)

    async with connected(serve) as stream:
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(1000, 0.05)
        with pytest.raises(httpcore2.WriteTimeout):
            await write_much(stream, 0.1)


async def test_a_connection_that_is_lost() -> None:
    """It is lost while a task reads, and while a task writes what the other side does not take."""

    async def serve(stream: SocketStream) -> None:
        await stream.receive(1)
        await stream.aclose()  # with bytes that were not read, so it is reset

    async with connected(serve) as stream:
        with pytest.raises(httpcore2.WriteError):
            await write_much(stream, 5.0)
        with pytest.raises(httpcore2.ReadError):
            await stream.read(1000)
        assert stream.get_extra_info("is_readable")


async def test_an_idle_connection_that_ends_before_the_loop_looks() -> None:
    """It is not reused, because the request would fail."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with a_backend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", server.getsockname()[1])
            vendor, _ = server.accept()
            assert not stream.get_extra_info("is_readable")
            vendor.close()
            assert stream.get_extra_info("is_readable")
            await stream.aclose()


@pytest.mark.parametrize("is_lost", [False, True])
async def test_what_happens_before_the_transport_is_taken_over(monkeypatch: pytest.MonkeyPatch, is_lost: bool) -> None:
    """Bytes that have arrived are read, and a lost connection causes no wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with a_backend() as backend:
            connect = backend._backend.connect_tcp

            async def connect_late(*args: Any, **kwargs: Any) -> Any:
                stream = await connect(*args, **kwargs)
                transport = stream._stream._transport
                vendor, _ = server.accept()
                with vendor:
                    if is_lost:
                        transport.abort()
                    vendor.sendall(b"early")
                if not is_lost:
                    transport.resume_reading()
                    while not transport.get_protocol().read_queue:
                        await anyio.lowlevel.checkpoint()
                return stream

            monkeypatch.setattr(backend._backend, "connect_tcp", connect_late)
            stream = await backend.connect_tcp("127.0.0.1", server.getsockname()[1])
            assert await stream.read(3, 5) == (b"" if is_lost else b"ear")
            assert await stream.read(1000, 5) == (b"" if is_lost else b"ly")
            assert await stream.read(1000, 5) == b""
            await stream.aclose()


async def test_the_other_side_ends_and_still_reads() -> None:
    """A vendor does this after it has sent a close frame, while it waits for the answer."""
    heard: list[bytes] = []
    done = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send_eof()
            heard.append(await stream.receive())
            done.set()

    async with connected(serve) as stream:
        assert await stream.read(1000, 5) == b""
        assert stream.get_extra_info("is_readable")
        await stream.write(b"goodbye")
        await done.wait()
    assert heard == [b"goodbye"]


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    """What arrives later is for the next reader."""
    ready = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await ready.wait()
            await stream.send(b"late")

    async with connected(serve) as stream:
        with anyio.move_on_after(0.01):
            await stream.read(1000)
        ready.set()
        assert await stream.read(1000, 5) == b"late"
        await stream.aclose()
        with pytest.raises(httpcore2.ReadError):
            await stream.read(1000)


async def silent(socket: FakeSocket) -> None:
    """Read, and answer nothing."""
    async for _ in socket:
        pass


async def test_messages_are_written_at_once() -> None:
    """A text is sent without waiting, and audio together with what follows it. The order is kept."""
    sent: list[bytes] = []
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/ws", silent)
        async with acme.open("ws", goodbye={"type": "bye"}) as stream:
            inner: Any = stream
            beneath = inner._connection._session._beneath
            write = beneath.write_now

            def note(data: bytes) -> None:
                sent.append(data)
                write(data)

            beneath.write_now = note
            inner._connection.post(b"audio")
            assert len(sent) == 0
            inner._connection.post({"type": "pause"})
            assert len(sent) == 1
            inner._connection.post(b"more")
            await anyio.lowlevel.checkpoint()
            assert len(sent) == 2
        assert len(sent) == 3
        await vendor.requests[0].outcome()
    assert vendor.requests[0].messages == [b"audio", {"type": "pause"}, b"more", {"type": "bye"}]


async def test_a_vendor_that_does_not_read_makes_a_sender_wait() -> None:
    """When the vendor reads again, it receives all of it, in order."""
    reads, count = anyio.Event(), 0

    async def late(socket: FakeSocket) -> None:
        beneath: Any = socket
        await beneath._stream.receive(1)  # on asyncio, all of it is read before the first call
        await reads.wait()
        await socket.cut()

    async def many() -> AsyncIterator[bytes]:
        nonlocal count
        while True:
            yield MUCH[:-100]
            count += 1

    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/ws", late)
        async with acme.open("ws") as stream, stream.sending(many()):
            last = -1
            while count != last:
                last = count
                await anyio.sleep(0.2)
            assert count < 10
            reads.set()
            with pytest.raises(ProviderError):
                await anext(stream)


# ---- interruptions ---------------------------------------------------------------------------------------------------


async def test_the_vendor_is_told_before_httpx2_tidies_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cleanup takes longer than the rest of an interruption."""
    told: list[str] = []

    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url) as http:
        vendor.on("/", Answer(parts=[b"a\n"] * 2, pause=30))
        async with http.stream("GET", "") as response:
            aclose = response.raw.aclose

            async def tidy() -> None:
                told.append(await vendor.requests[0].outcome())
                await aclose()

            monkeypatch.setattr(response.raw, "aclose", tidy)
            async for _ in response.lines():
                break
            assert told == []
            await response.aclose()
    assert told[0] == "left"
