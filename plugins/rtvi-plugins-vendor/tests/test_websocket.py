"""The WebSockets of a service, against a server on loopback."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import (
    Retry,
    SharedWebSocket,
    StatusError,
    VendorWebSockets,
    WebSocketStream,
    connect_websockets,
)
from rtvi_plugins_vendor._connection import Connection
from rtvi_plugins_vendor._session import Closed, Lost, open_session
from rtvi_plugins_vendor.testing import Answer, FakeSocket, FakeVendor, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
AT_ONCE = Retry(times=2, first=0)
GOODBYE = {"type": "bye"}

Talk = Callable[[FakeSocket], Awaitable[None]]


@asynccontextmanager
async def serving(*scripts: Answer | Talk, **how: Any) -> AsyncGenerator[tuple[FakeVendor, VendorWebSockets]]:
    """Run a vendor with these scripts at `/ws`, and the WebSockets of a service for it."""
    how = {"timeout": 3.0, "retry": AT_ONCE, **how}
    async with fake_vendor() as vendor:
        vendor.on("/ws", *scripts)
        async with connect_websockets("acme", KEY, base_url=vendor.url, **how) as acme:
            yield vendor, acme


async def echo(socket: FakeSocket) -> None:
    """Send each message back."""
    async for message in socket:
        await socket.send(message)


async def contexts(socket: FakeSocket) -> None:
    """Answer each request in its context. `to` is all contexts or an unknown one."""
    async for message in socket:
        if "text" in message:
            await socket.send({"context": message.get("to", message["context"]), "text": message["text"]})


async def silent(socket: FakeSocket) -> None:
    """Read, and answer nothing."""
    async for _ in socket:
        pass


def context_of(message: Any) -> object:
    """Return the context of a message."""
    return message["context"]


async def each(*messages: Any) -> AsyncIterator[Any]:
    """Yield messages."""
    for message in messages:
        await anyio.lowlevel.checkpoint()
        yield message


async def without_end(first: Any) -> AsyncGenerator[Any]:
    """Yield one message, and wait for more."""
    yield first
    await anyio.sleep_forever()


async def category_of(failing: AsyncIterator[Any]) -> ProviderCategory:
    """Return the category with which receiving fails."""
    with pytest.raises(ProviderError) as failed:
        await anext(failing)
    return failed.value.category


async def category_of_opening(failing: AbstractAsyncContextManager[Any]) -> ProviderCategory:
    """Return the category with which opening fails."""
    with pytest.raises(ProviderError) as failed:
        await failing.__aenter__()
    return failed.value.category


# ---- one connection for each request ---------------------------------------------------------------------------------


async def test_messages_in_both_directions() -> None:
    """Messages are JSON, text or bytes. The query and the key are in the request."""
    async with serving(echo) as (vendor, acme), acme.open("ws", params={"rate": 16000}) as stream:
        for message in ({"text": "Grüße"}, b"\x00\x01", '["as it is"]'):
            await stream.send(message)
        assert [await anext(stream) for _ in range(3)] == [{"text": "Grüße"}, b"\x00\x01", ["as it is"]]
    (request,) = vendor.requests
    assert request.headers["authorization"] == "Bearer key-of-a-test"
    assert request.params == {"rate": "16000"}
    assert (await request.outcome(), request.close_code) == ("left", 1000)


async def test_sending_and_receiving_at_once() -> None:
    """The answers arrive while messages are still sent. A normal close is the end."""

    async def listen(socket: FakeSocket) -> None:
        async for message in socket:
            await socket.send({"heard": len(message)})
            if message == b"end":
                await socket.close()

    async with serving(listen) as (vendor, acme), acme.open("ws", goodbye=GOODBYE) as stream:
        async with stream.sending(each(b"a", b"bc", b"end")):
            assert [message async for message in stream] == [{"heard": 1}, {"heard": 2}, {"heard": 3}]
        with pytest.raises(ProviderError):
            await stream.send(b"too late")
    assert vendor.requests[0].messages == [b"a", b"bc", b"end"]  # without a goodbye


async def test_the_vendor_may_speak_first() -> None:
    """Messages that it sends immediately are not lost."""

    async def greet(socket: FakeSocket) -> None:
        await socket.send({"type": "ready"})

    async with serving(greet) as (_, acme), acme.open("ws") as stream:
        assert [message async for message in stream] == [{"type": "ready"}]


#: The opcode of a frame, and the bit of the last frame of a message.
TEXT, BINARY, CLOSE, PING, PONG, LAST = 1, 2, 8, 9, 10, 0x80


def frame(head: int, data: bytes) -> bytes:
    """Return a short frame of the vendor's."""
    return bytes([head, len(data)]) + data


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
async def test_messages_in_several_frames(at_once: bool) -> None:
    """They may be divided within a character. A ping between them is answered."""
    text = '{"text": "Gr\u00fc\u00dfe"}'.encode()
    frames = (
        *(frame(TEXT, text[:13]), frame(LAST | PING, b"?"), frame(0, text[13:15]), frame(LAST, text[15:])),
        *(frame(BINARY, b"\x00"), frame(LAST, b"\x01")),
        frame(LAST | BINARY, b""),
    )

    async def in_parts(socket: FakeSocket) -> None:
        whole = b"".join(frames)
        for part in [whole] if at_once else [whole[n : n + 1] for n in range(len(whole))]:
            await socket.send_raw(part)
            await anyio.lowlevel.checkpoint()
        await silent(socket)

    async with serving(in_parts) as (_, acme), acme.open("ws") as stream:
        assert [await anext(stream) for _ in range(3)] == [{"text": "Gr\u00fc\u00dfe"}, b"\x00\x01", b""]


async def test_a_ping_is_answered_while_nobody_reads() -> None:
    """Otherwise, the vendor would treat the connection as dead."""
    answered = anyio.Event()

    async def pings(socket: FakeSocket) -> None:
        await socket.send_raw(frame(LAST | PING, b"?"))
        beneath: Any = socket  # the fake does not tell of answers to pings
        head, size, *rest = await beneath._stream.receive()
        assert (head & 0x0F, size, rest[4] ^ rest[0]) == (PONG, 0x81, ord("?"))
        answered.set()
        await silent(socket)

    async with serving(pings) as (_, acme), acme.open("ws"):
        with anyio.fail_after(3):
            await answered.wait()


@pytest.mark.parametrize("code", [1000, 4001])
async def test_the_close_of_the_vendor_is_answered(code: int) -> None:
    """The answer has its code, as the protocol requires. Otherwise, the vendor would treat the connection as broken."""
    answers: list[tuple[int, int]] = []

    async def closing(socket: FakeSocket) -> None:
        await socket.send_raw(frame(LAST | CLOSE, code.to_bytes(2, "big")))
        beneath: Any = socket  # the fake takes an answer to this for a mistake
        head, _, *rest = await beneath._stream.receive()
        answers.append((head & 0x0F, (rest[4] ^ rest[0]) << 8 | rest[5] ^ rest[1]))

    async with serving(closing) as (vendor, acme):
        async with acme.open("ws") as stream:
            if code == 1000:
                assert [message async for message in stream] == []
            else:
                assert await category_of(stream) == "unavailable"
        (request,) = vendor.requests
        await request.outcome()
    assert answers == [(CLOSE, code)]


async def test_leaving_says_goodbye() -> None:
    """The vendor learns that it can stop, wherever the generator is closed or cancelled."""

    async def provide(acme: VendorWebSockets) -> AsyncGenerator[Any]:
        async with (
            acme.open("ws", goodbye=GOODBYE) as stream,
            stream.sending(without_end({"n": 1})),
        ):
            async for message in stream:
                yield message

    async with serving(echo) as (vendor, acme):
        closed = provide(acme)
        assert await anext(closed) == {"n": 1}
        await closed.aclose()
        async with aclosing(provide(acme)) as cancelled:
            assert await anext(cancelled) == {"n": 1}
            with anyio.move_on_after(0.01):
                await anext(cancelled)
        gc.collect()
        for request in vendor.requests:
            assert (await request.outcome(), request.close_code) == ("left", 1000)
            assert request.messages == [{"n": 1}, GOODBYE]


async def test_after_the_last_message_no_goodbye_is_needed() -> None:
    """`finish` says that none is needed."""
    async with serving(echo) as (vendor, acme):
        async with acme.open("ws", goodbye=GOODBYE) as stream:
            await stream.send({"n": 1})
            await anext(stream)
            stream.finish()
        await vendor.requests[0].outcome()
    assert vendor.requests[0].messages == [{"n": 1}]


async def test_the_end_of_the_service_closes_its_connections() -> None:
    """The last messages are written before."""
    async with AsyncExitStack() as requests, serving(silent) as (vendor, acme):
        await requests.enter_async_context(acme.open("ws"))
        async with acme.share("ws", route=context_of).open("a", goodbye=GOODBYE):
            pass
        own, shared = vendor.requests
    assert (own.state, own.close_code, own.messages) == ("left", 1000, [])
    assert (shared.state, shared.close_code, shared.messages) == ("left", 1000, [GOODBYE])


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "category", "asked"),
    [
        (200, "unavailable", 3),
        (401, "auth", 1),
        (402, "quota", 1),
        (400, "bad-request", 1),
        (429, "rate", 3),
        (503, "unavailable", 3),
    ],
)
async def test_a_refused_connection(status: int, category: str, asked: int) -> None:
    """Temporary refusals are tried again, as often as `retry` allows."""
    async with serving(Answer(status, json={"error": "key-of-a-test"})) as (vendor, acme):
        assert await category_of_opening(acme.open("ws")) == category
    assert len(vendor.requests) == asked


async def test_a_temporary_refusal() -> None:
    """The next attempt succeeds."""
    async with serving(Answer(503), echo) as (_, acme), acme.open("ws") as stream:
        await stream.send(b"hello")
        assert await anext(stream) == b"hello"


async def test_a_long_wait_is_not_worth_it() -> None:
    """The error has the wait that the vendor asks for."""
    async with serving(Answer(429, headers={"retry-after": "60"})) as (vendor, acme):
        with pytest.raises(StatusError) as failed:
            async with acme.open("ws"):
                pytest.fail("it opened")
    assert (failed.value.retry_after, len(vendor.requests)) == (60, 1)


async def test_a_url_that_is_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """A client that chooses a long name causes it, so it is no failure of the vendor."""
    async with serving(echo) as (vendor, acme):
        assert await category_of_opening(acme.open("x" * 70_000)) == "bad-request"
    assert (vendor.requests, caplog.records) == ([], [])


async def test_a_path_may_have_a_query() -> None:
    """It is kept if there are no other parameters."""
    async with serving(echo) as (vendor, acme), acme.open("ws?model=small"):
        pass
    assert vendor.requests[0].params == {"model": "small"}


async def test_nobody_listens() -> None:
    """The port has no server."""
    async with fake_vendor() as vendor:
        url = vendor.url
    async with connect_websockets("acme", None, base_url=url, retry=AT_ONCE) as acme:
        assert await category_of_opening(acme.open("ws")) == "unavailable"


async def test_a_vendor_that_does_not_answer() -> None:
    """Connecting has a timeout, and can be cancelled."""
    async with serving(Answer(wait=math.inf), timeout=0.05, retry=Retry(times=0)) as (vendor, acme):
        assert await category_of_opening(acme.open("ws")) == "timeout"
        with anyio.move_on_after(0.01) as cancelled:
            await category_of_opening(acme.open("ws"))
        assert cancelled.cancelled_caught
        for request in vendor.requests:
            assert await request.outcome() == "left"


async def close_4429(socket: FakeSocket) -> None:
    """Close with a vendor's own code."""
    await socket.send({"n": 1})
    await socket.close(4429, "slow down, key-of-a-test")


async def cut(socket: FakeSocket) -> None:
    """Cut the connection."""
    await socket.send({"n": 1})
    await socket.cut()


async def half(socket: FakeSocket) -> None:
    """Cut the connection within a frame."""
    await socket.send({"n": 1})
    await socket.send_half({"n": 2})
    await socket.cut()


async def no_json(socket: FakeSocket) -> None:
    """Send text that is not JSON."""
    await socket.send({"n": 1})
    await socket.send("<html>")
    await silent(socket)


async def no_frame(socket: FakeSocket) -> None:
    """Send bytes that are not a frame."""
    await socket.send({"n": 1})
    await socket.send_raw(b"\xff\xff\xff\xff")
    await silent(socket)


async def too_long(socket: FakeSocket) -> None:
    """Send a message that is too long."""
    await socket.send({"n": 1})
    await socket.send(bytes(4 * 1024 * 1024 + 1))
    await silent(socket)


async def says_no_more(socket: FakeSocket) -> None:
    """Stay connected in silence."""
    await socket.send({"n": 1})
    await silent(socket)


@pytest.mark.parametrize(
    ("talk", "category"),
    [
        (close_4429, "rate"),
        (cut, "unavailable"),
        (half, "unavailable"),
        (no_json, "unavailable"),
        (no_frame, "unavailable"),
        (too_long, "unavailable"),
        (says_no_more, "timeout"),
    ],
)
async def test_a_failure_after_the_connection(talk: Talk, category: str) -> None:
    """The messages before it are delivered. The error contains no text of the vendor."""
    timeout = 0.3 if talk is says_no_more else 5.0
    async with serving(talk, timeout=timeout) as (_, acme), acme.open("ws") as stream:
        assert await anext(stream) == {"n": 1}
        with pytest.raises(ProviderError) as failed:
            await anext(stream)
        assert (failed.value.category, failed.value.__cause__) == (category, None)
        assert "key-of-a-test" not in f"{failed.value!r} {stream!r} {acme!r}"


async def test_a_vendor_may_explain_its_close() -> None:
    """`categorize` sees the code and the reason."""

    def categorize(code: int, reason: str) -> ProviderCategory | None:
        return "quota" if (code, reason) == (1008, "no credit") else None

    async def close(socket: FakeSocket) -> None:
        await socket.close(1008, "no credit")

    async with serving(close, categorize=categorize) as (_, acme), acme.open("ws") as stream:
        assert await category_of(stream) == "quota"


async def test_messages_before_an_early_close_are_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is so even if the connection has ended before `open` continues."""
    real = Connection.run

    async def run(self: Connection, address: Any) -> None:
        opened, self.settled = self.settled, anyio.Event()
        await real(self, address)
        opened.set()

    monkeypatch.setattr(Connection, "run", run)
    async with serving(close_4429) as (_, acme), acme.open("ws") as stream:
        assert await anext(stream) == {"n": 1}
        assert await category_of(stream) == "rate"


async def test_a_failure_of_categorize(caplog: pytest.LogCaptureFixture) -> None:
    """The log shows the bug without the vendor's text."""

    def categorize(code: int, reason: str) -> ProviderCategory:
        raise LookupError(reason)

    async def close(socket: FakeSocket) -> None:
        await socket.close(1008, "key-of-a-test")

    async with serving(close, categorize=categorize) as (_, acme), acme.open("ws") as stream:
        assert await category_of(stream) == "unavailable"
    assert "acme: `route` or `categorize` raised LookupError" in caplog.text
    assert "key-of-a-test" not in caplog.text


async def test_a_vendor_may_be_silent_while_it_is_sent_to() -> None:
    """The timeout begins after the last message."""

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(5):
            await anyio.sleep(0.1)
            yield b"audio"

    async with serving(silent, timeout=0.3) as (vendor, acme), acme.open("ws") as stream, stream.sending(slowly()):
        assert await category_of(stream) == "timeout"
        assert vendor.requests[0].messages == [b"audio"] * 5


async def test_a_message_can_be_expected_while_it_is_sent_to() -> None:
    """Whoever expects it may wait once more after it was late."""

    async def endlessly() -> AsyncIterator[bytes]:
        yield b"audio"
        await anyio.sleep_forever()

    async def late(socket: FakeSocket) -> None:
        await anext(socket)
        await expired.wait()
        await socket.send({"text": "Hello"})
        await anyio.sleep_forever()

    expired = anyio.Event()
    async with serving(late, timeout=600) as (_, acme), acme.open("ws") as stream, stream.sending(endlessly()):
        stream.expect(0.01)
        assert await category_of(stream) == "timeout"
        assert stream.is_late
        stream.expect(None)
        expired.set()
        assert await anext(stream) == {"text": "Hello"}
        assert not stream.is_late


async def test_a_failure_of_the_messages_is_raised_where_the_block_receives() -> None:
    """It ends neither the service nor other requests."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"audio"
        raise LookupError("of the author")

    async with serving(silent) as (_, acme), acme.open("ws") as stream:
        async with stream.sending(failing()):
            with pytest.raises(LookupError, match="of the author"):
                await anext(stream)
        async with acme.open("ws"):
            pass


async def test_a_dead_connection_is_noticed() -> None:
    """The vendor no longer answers pings, although messages are still sent."""

    async def dead(socket: FakeSocket) -> None:
        await socket.hang()

    async with (
        serving(dead, timeout=0.3, ping_every=0.01) as (_, acme),
        acme.open("ws") as stream,
        stream.sending(without_end(b"audio")),
    ):
        assert await category_of(stream) == "unavailable"


async def test_a_vendor_that_reads_no_more_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a stream that is left nor the end of the service waits for it for long."""
    for module in ("_connection", "websocket"):
        monkeypatch.setattr(f"rtvi_plugins_vendor.{module}.CLOSING_SECONDS", 0.1)

    async def dead(socket: FakeSocket) -> None:
        await socket.hang()

    with anyio.fail_after(5):
        async with serving(dead) as (_, acme), acme.open("ws", goodbye=GOODBYE) as stream:
            with anyio.move_on_after(0.1) as blocked:
                while True:
                    await stream.send(bytes(1024 * 1024))
            assert blocked.cancelled_caught


async def test_a_reader_that_is_too_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is limited."""
    monkeypatch.setattr("rtvi_plugins_vendor._inbox._LONGEST_INBOX", 100)

    async def flood(socket: FakeSocket) -> None:
        await socket.send(bytes(50))
        await socket.send(bytes(101))
        await silent(socket)

    async with serving(flood) as (_, acme), acme.open("ws") as stream:
        assert await anext(stream) == bytes(50)
        assert await category_of(stream) == "unavailable"


async def test_idle_connections_are_kept() -> None:
    """A message that the vendor defines is sent."""
    async with serving(echo) as (vendor, acme):
        async with acme.open("ws", keep_alive={"type": "KeepAlive"}, keep_alive_every=0.01) as stream:
            assert await anext(stream) == {"type": "KeepAlive"}
        assert len(vendor.requests[0].messages) >= 1


async def test_a_connection_that_ends_while_messages_are_sent() -> None:
    """The sender stops, and the reader gets the end. Any asynchronous iterable can be sent."""

    async def one(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.close()

    put, taken = anyio.create_memory_object_stream[bytes](math.inf)
    async with serving(one) as (_, acme), put, taken, acme.open("ws") as stream, stream.sending(taken):
        put.send_nowait(b"one")
        assert [message async for message in stream] == []
        put.send_nowait(b"two")
        put.send_nowait(b"three")
        await anyio.wait_all_tasks_blocked()
        assert taken.receive_nowait() == b"three"


async def test_a_source_that_never_waits() -> None:
    """Other tasks run meanwhile, although writing never waits either."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b""

    async with serving(silent) as (_, acme), acme.open("ws") as stream, stream.sending(endless()):
        for _ in range(3):
            await anyio.lowlevel.checkpoint()


async def test_a_connection_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails even if reading shows no error."""

    async def broken(*_: object) -> None:
        raise Lost

    def full(*_: object, is_text: bool) -> bool:
        return False

    async with serving(silent, timeout=0.3) as (_, acme), acme.open("ws") as stream:
        monkeypatch.setattr("rtvi_plugins_vendor._connection.Session.put_now", full)
        monkeypatch.setattr("rtvi_plugins_vendor._connection.Session.flush", broken)
        with pytest.raises(ProviderError):
            await stream.send(b"audio")
        assert await category_of(stream) in ("unavailable", "timeout")


async def test_a_connection_that_is_being_closed_takes_no_message() -> None:
    """For example, the vendor has just closed it, and the streams have not noticed yet."""
    async with fake_vendor() as vendor, httpx2.AsyncClient(base_url=vendor.url) as client:
        vendor.on("/ws", lambda socket: socket.close(1000))
        async with open_session(client, "ws", {}, {}) as session:
            with pytest.raises(Closed):
                await session.receive(lambda messages: None)
            with pytest.raises(Lost):
                session.put(b"audio", is_text=False)
            assert session.ping() is None


async def test_a_vendor_that_is_interrupted_reads_all_that_was_sent() -> None:
    """This is so although the vendor sends data that nobody reads, which would reset the connection."""

    async def talkative(socket: FakeSocket) -> None:
        async for _ in socket:
            await socket.send(bytes(100_000))

    async with serving(talkative) as (vendor, acme), acme.open("ws", goodbye=GOODBYE) as stream:
        for _ in range(3):
            await stream.send(b"audio")
    (request,) = vendor.requests
    assert (await request.outcome(), request.close_code) == ("left", 1000)
    assert request.messages == [b"audio", b"audio", b"audio", GOODBYE]


# ---- one connection for many requests --------------------------------------------------------------------------------


async def test_contexts_share_a_connection() -> None:
    """Each stream gets its own messages. Messages without a context go to all."""

    def route(message: Any) -> object:
        return None if message["context"] == "all" else message["context"]

    async with serving(contexts) as (vendor, acme):
        shared = acme.share("ws", route=route)
        async with shared.open("a") as one, shared.open("b") as two:
            await two.send({"context": "b", "text": "2"})
            await one.send({"context": "a", "text": "late", "to": "gone"})
            await one.send({"context": "a", "text": "1"})
            await one.send({"context": "a", "text": "both", "to": "all"})
            for stream, own in ((one, "1"), (two, "2")):
                assert [(await anext(stream))["text"] for _ in range(2)] == [own, "both"]
            with pytest.raises(ValueError, match="'a' is in use; choose a new one"):
                async with shared.open("a"):
                    pytest.fail("it opened")
    assert len(vendor.requests) == 1


async def test_a_field_names_the_context() -> None:
    """All streams receive a message without the field, and one that is not an object."""

    async def talk(socket: FakeSocket) -> None:
        for message in ({"id": "b", "n": 1}, {"id": "a", "n": 2}, {"n": 3}, "[4]"):
            await socket.send(message)
        async for _ in socket:
            pass

    async with serving(talk) as (_, acme):
        shared = acme.share("ws", route="id")
        async with shared.open("a") as stream:
            assert [await anext(stream) for _ in range(3)] == [{"id": "a", "n": 2}, {"n": 3}, [4]]


async def test_a_context_can_be_cancelled_alone() -> None:
    """The vendor gets a message, and the other contexts continue."""
    async with serving(contexts) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        async with shared.open("a") as going_on:
            async with shared.open("b", goodbye={"context": "b", "cancel": True}):
                pass
            await going_on.send({"context": "a", "text": "1"})
            assert (await anext(going_on))["text"] == "1"
    assert vendor.requests[0].messages == [{"context": "b", "cancel": True}, {"context": "a", "text": "1"}]


async def test_a_lost_connection_is_opened_again() -> None:
    """Its requests fail, even after a normal close. The next request opens a new connection."""

    async def one(socket: FakeSocket) -> None:
        async for message in socket:
            await socket.send(message)
            await socket.close()

    async with serving(one) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        for context in ("a", "b"):
            async with shared.open(context) as stream:
                await stream.send({"context": context})
                await anext(stream)
                assert await category_of(stream) == "unavailable"
    assert len(vendor.requests) == 2


async def test_a_silent_connection_is_not_used_again() -> None:
    """It may be dead, and a ping notices that much later. Requests that use it already go on."""
    async with serving(contexts, timeout=0.1) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        async with shared.open("a") as going_on:
            async with shared.open("b") as late:
                assert await category_of(late) == "timeout"
            async with shared.open("b") as again:
                await again.send({"context": "b", "text": "1"})
                assert (await anext(again))["text"] == "1"
            await going_on.send({"context": "a", "text": "2"})
            assert (await anext(going_on))["text"] == "2"
        first, second = vendor.requests
        assert (await first.outcome(), first.close_code, second.state) == ("left", 1000, "running")


async def test_a_connection_that_is_lost_as_soon_as_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request fails without waiting."""

    async def close(socket: FakeSocket) -> None:
        await socket.close(1011)

    async with serving(close) as (_, acme):
        shared = acme.share("ws", route=context_of)

        async def connected(self: SharedWebSocket) -> Any:
            connection: Any = await real(self)
            await connection.gone.wait()
            return connection

        real: Any = vars(SharedWebSocket)["_connected"]
        monkeypatch.setattr(SharedWebSocket, "_connected", connected)
        async with shared.open("a") as stream:
            assert await category_of(stream) == "unavailable"


async def test_many_requests_open_one_connection() -> None:
    """This is so even if they begin at the same time. It can be opened before them."""
    async with serving(contexts) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        await shared.connect()

        async def ask(context: str) -> None:
            async with shared.open(context) as stream:
                await stream.send({"context": context, "text": context})
                assert (await anext(stream))["text"] == context

        async with anyio.create_task_group() as tasks:
            for each in "abcdef":
                tasks.start_soon(ask, each)
    assert len(vendor.requests) == 1


async def test_a_route_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """The log shows the bug, at DEBUG with its line, and the requests fail."""
    caplog.set_level(logging.DEBUG, "rtvi_plugins")
    async with serving(echo) as (_, acme), acme.share("ws", route=context_of).open("a") as stream:
        await stream.send({"no": "context"})
        assert await category_of(stream) == "unavailable"
    assert "KeyError: 'context'" in caplog.text


# ---- everything at once ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    ends=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["break", "cancel", "close"])), min_size=1, max_size=5)
)
async def test_requests_that_end_anywhere(ends: list[tuple[int, str]]) -> None:
    """Each gets its own messages, in order. Each that is left early sends exactly one goodbye."""

    async def provide(stream: WebSocketStream, context: str) -> AsyncGenerator[int]:
        async with stream.sending(each(*({"context": context, "text": n} for n in range(4)))):
            async for message in stream:
                yield message["text"]

    async def ask(shared: SharedWebSocket, context: str, count: int, how: str) -> None:
        async with shared.open(context, goodbye={"context": context, "bye": True}) as stream:
            pieces = provide(stream, context)
            assert [await anext(pieces) for _ in range(min(count, 4))] == list(range(min(count, 4)))
            if count == 4:
                stream.finish()
            if how == "cancel":
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await anext(pieces, None)
            await pieces.aclose()

    async with serving(contexts) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        async with anyio.create_task_group() as tasks:
            for number, (count, how) in enumerate(ends):
                tasks.start_soon(ask, shared, str(number), count, how)
    (request,) = vendor.requests
    assert (await request.outcome(), request.close_code) == ("left", 1000)
    for number, (count, _) in enumerate(ends):
        own = [message for message in request.messages if message["context"] == str(number)]
        texts = [message["text"] for message in own if "text" in message]
        assert texts == list(range(len(texts)))
        assert sum("bye" in message for message in own) == (count < 4)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.integers(0, 60), min_size=1, max_size=4))
async def test_requests_that_are_cancelled_anywhere(steps: list[int]) -> None:
    """They are cancelled after any number of steps of the event loop. No message is incomplete, and others continue."""

    async def ask(shared: SharedWebSocket, context: str) -> None:
        async with (
            shared.open(context, goodbye={"context": context, "bye": True}) as stream,
            stream.sending(each(*({"context": context, "text": n} for n in range(3)))),
        ):
            while (await anext(stream))["text"] < 2:
                pass
            stream.finish()

    async def ask_for(shared: SharedWebSocket, context: str, count: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, shared, context)
            for _ in range(count):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    async with serving(contexts) as (vendor, acme):
        shared = acme.share("ws", route=context_of)
        async with anyio.create_task_group() as tasks:
            for number, count in enumerate(steps):
                tasks.start_soon(ask_for, shared, str(number), count)
        await ask(shared, "last")
    for request in vendor.requests:
        assert await request.outcome() == "left"
    messages = vendor.requests[-1].messages
    own = {
        context: [message.get("text", "bye") for message in messages if message["context"] == context]
        for context in [*map(str, range(len(steps))), "last"]
    }
    for received in own.values():
        assert received in ([], ["bye"], [0, "bye"], [0, 1, "bye"], [0, 1, 2, "bye"], [0, 1, 2])
    assert own["last"] == [0, 1, 2]
