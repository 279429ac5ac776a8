"""WebSockets that serve one request at a time, and a shared one that moves to another address."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import ReusedWebSockets, connect_websockets
from rtvi_plugins_vendor.testing import Answer, FakeSocket, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
STOP = {"type": "stop"}
HELLO = {"type": "hello"}


async def speak(socket: FakeSocket) -> None:
    """Answer each text by its words, and then by its end. Confirm a stop."""
    async for message in socket:
        if message == STOP:
            await socket.send({"type": "stopped"})
            continue
        if message.get("type") == "hello":
            continue
        for word in message["text"].split():
            await socket.send({"word": word})
        await socket.send({"type": "end"})


def is_stopped(message: Any) -> bool:
    """Return whether the vendor has confirmed a stop."""
    return bool(message == {"type": "stopped"})


async def said(sockets: ReusedWebSockets, text: str, **how: Any) -> list[Any]:
    """Return the words of a request."""
    async with sockets.open("speak", **how) as stream:
        await stream.send({"text": text})
        words: list[Any] = []
        async for message in stream:
            if "word" not in message:
                stream.finish()
                break
            words.append(message["word"])
    return words


async def test_one_connection_serves_one_request_after_the_other() -> None:
    """Each of several overlapping requests has its own connection."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/speak", speak)
        sockets = acme.reuse(is_settled=is_stopped)
        assert await said(sockets, "one two") == ["one", "two"]
        assert await said(sockets, "three") == ["three"]
        assert len(vendor.requests) == 1
        async with sockets.open("speak", goodbye=STOP):
            assert await said(sockets, "four") == ["four"]
        assert len(vendor.requests) == 2


async def test_what_is_left_over_of_a_request_is_dropped() -> None:
    """The next request does not need to wait for the vendor to stop."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/speak", speak)
        sockets = acme.reuse(is_settled=is_stopped)
        async with sockets.open("speak", goodbye=STOP) as stream:
            await stream.send({"text": "one two three four"})
            assert await anext(stream) == {"word": "one"}
        assert await said(sockets, "five", goodbye=STOP) == ["five"]
    assert len(vendor.requests) == 1
    assert vendor.requests[0].messages == [{"text": "one two three four"}, STOP, {"text": "five"}]


async def test_two_requests_that_are_left_in_a_row() -> None:
    """The second is left before the vendor has confirmed the first stop. Their connection is reused."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/speak", speak)
        sockets = acme.reuse(is_settled=is_stopped)
        for text in ("one two", "three four"):
            async with sockets.open("speak", goodbye=STOP) as stream:
                await stream.send({"text": text})
        assert await said(sockets, "five", goodbye=STOP) == ["five"]
    assert len(vendor.requests) == 1
    assert vendor.requests[0].messages == [{"text": "one two"}, STOP, {"text": "three four"}, STOP, {"text": "five"}]


async def test_a_connection_that_cannot_be_stopped_is_closed() -> None:
    """A connection to another address is closed as well, and so is one that has failed."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url, timeout=0.1) as acme:
        vendor.on("/speak", speak)
        sockets = acme.reuse(is_settled=is_stopped)
        async with sockets.open("speak"):
            pass
        assert await vendor.requests[0].outcome() == "left"
        await said(sockets, "one")
        await said(sockets, "two", params={"voice": "eva"})
        assert await vendor.requests[1].outcome() == "left"
        with pytest.raises(ProviderError):
            async with sockets.open("speak", params={"voice": "eva"}, goodbye=STOP) as stream:
                await anext(stream)
        assert await vendor.requests[2].outcome() == "left"
        assert await said(sockets, "three") == ["three"]
    assert [each.params for each in vendor.requests] == [{}, {}, {"voice": "eva"}, {}]


async def test_a_connection_begins_with_its_hello() -> None:
    """It is sent once. Another hello needs another connection, and the former one is closed."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/speak", speak)
        sockets = acme.reuse()
        assert await said(sockets, "one", hello=HELLO) == ["one"]
        assert await said(sockets, "two", hello=HELLO) == ["two"]
        assert await said(sockets, "three", hello={**HELLO, "voice": "eva"}) == ["three"]
        assert await vendor.requests[0].outcome() == "left"
        first, second = vendor.requests
    assert first.messages == [HELLO, {"text": "one"}, {"text": "two"}]
    assert second.messages == [{**HELLO, "voice": "eva"}, {"text": "three"}]


async def test_a_shared_connection_moves_when_nobody_uses_it() -> None:
    """A request that still runs gets its answer."""

    async def contexts(socket: FakeSocket) -> None:
        async for message in socket:
            await socket.send(message)

    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/a", contexts)
        vendor.on("/b", contexts)
        shared = acme.share("a", route=lambda message: message["context"])
        async with shared.open("1") as stream:
            shared.move("a")
            shared.move("b", params={"voice": "eva"})
            async with shared.open("2") as other:
                await other.send({"context": "2"})
                assert await anext(other) == {"context": "2"}
            await stream.send({"context": "1"})
            assert await anext(stream) == {"context": "1"}
        first, second = vendor.requests
        assert await first.outcome() == "left"
        assert (second.path, second.params, second.state) == ("/b", {"voice": "eva"}, "running")
        shared.move("a")
        assert await second.outcome() == "left"


async def test_the_reader_receives_what_is_delivered() -> None:
    """The end comes after the messages that have arrived."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url) as acme:
        vendor.on("/speak", speak)
        async with acme.open("speak") as stream:
            stream.deliver(None)
            assert await anext(stream) is None


async def test_the_key_is_checked_over_http() -> None:
    """The check uses the same HTTP client."""
    async with fake_vendor() as vendor, connect_websockets("acme", KEY, base_url=vendor.url, key_scheme="") as acme:
        vendor.on("/models", Answer(json=[]), Answer(403), Answer(401))
        await acme.check_key("models")
        await acme.check_key("models")
        with pytest.raises(ProviderError):
            await acme.check_key("models")
    assert vendor.requests[0].headers["authorization"] == "key-of-a-test"
