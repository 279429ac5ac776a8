"""The vendor for tests, seen by the HTTP client of this distribution."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins.testing import SCRIPTS
from rtvi_plugins_vendor import Retry, StatusError, VendorHTTP, connect_http, connect_websockets
from rtvi_plugins_vendor.scripts import ScriptedVendor, SocketVendor, scripted_vendor
from rtvi_plugins_vendor.testing import Answer, FakeRequest, FakeSocket, FakeVendor, fake_vendor

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}
EVENTS = [b"data: one\n\n", b"data: t", b"wo\n\n"]


@asynccontextmanager
async def serving(*answers: Answer, timeout: float = 5.0) -> AsyncGenerator[tuple[FakeVendor, VendorHTTP]]:
    """Run a vendor with these answers at `/v1/chat`, and a client of it."""
    async with fake_vendor() as vendor:
        vendor.on("/v1/chat", *answers)
        base_url, retry = f"{vendor.url}/v1", Retry(times=1, first=0)
        async with connect_http("acme", Secret("test-key"), base_url=base_url, timeout=timeout, retry=retry) as http:
            yield vendor, http


async def events(http: VendorHTTP) -> list[str]:
    """Return the events of a response."""
    async with http.stream("POST", "chat", json={}) as response:
        received = [event.data async for event in response.events()]
        await response.finish()
        return received


async def test_it_records_requests() -> None:
    """It records method, path, query, headers and body. A connection is reused."""
    async with serving(Answer(json={"id": 1}), Answer(json={"id": 2}, pause=1.0)) as (vendor, http):
        assert await http.post("chat", {"text": "Grüße"}) == {"id": 1}
        assert await http.post("chat", {"text": "x" * 200_000}) == {"id": 2}
        assert await http.get("chat?voice=eva") == {"id": 2}
        with pytest.raises(StatusError) as failed:
            await http.get("other")
    assert failed.value.status == 404
    first, second, third, _ = vendor.requests
    assert (first.method, first.path, first.json) == ("POST", "/v1/chat", {"text": "Grüße"})
    assert first.headers["authorization"] == "Bearer test-key"
    assert (len(second.json["text"]), third.method, third.params) == (200_000, "GET", {"voice": "eva"})
    assert [request.connection for request in vendor.requests] == [1, 1, 1, 1]
    assert await first.outcome() == "answered"


async def test_a_stream() -> None:
    """The parts arrive as they are sent."""
    async with serving(Answer(parts=EVENTS, headers=SSE, pause=0.01)) as (vendor, http):
        assert await events(http) == ["one", "two"]
    assert await vendor.requests[0].outcome() == "answered"


async def test_the_client_may_leave() -> None:
    """The vendor records it."""
    async with serving(Answer(parts=EVENTS, headers=SSE, end="hang")) as (vendor, http):
        async with http.stream("POST", "chat", json={}) as response:
            assert (await anext(response.events())).data == "one"
            assert vendor.requests[0].state == "running"
        assert await vendor.requests[0].outcome() == "left"


@pytest.mark.parametrize(
    ("answer", "category", "outcome"),
    [
        (Answer(wait=math.inf), "timeout", ("left",)),
        (Answer(parts=EVENTS, headers=SSE, end="hang"), "timeout", ("left",)),
        (Answer(parts=EVENTS, headers=SSE, end="cut"), "unavailable", ("cut",)),
        (Answer(parts=[b"<html>"], headers={"content-type": "text/html"}), "unavailable", ("answered", "left")),
        (Answer(429, headers={"retry-after": "60"}), "rate", ("answered",)),
    ],
)
async def test_faults(answer: Answer, category: str, outcome: tuple[str, ...]) -> None:
    """These are silence, a cut connection, a body of the wrong type, and a refusal."""
    async with serving(answer, timeout=0.3) as (vendor, http):
        with pytest.raises(ProviderError) as failed:
            await events(http)
        assert failed.value.category == category
        assert await vendor.requests[0].outcome() in outcome


async def test_each_request_takes_the_next_answer() -> None:
    """The last answer stays."""
    async with serving(Answer(503), Answer(json="ok")) as (vendor, http):
        assert [await http.get("chat") for _ in range(2)] == ["ok", "ok"]
    assert len(vendor.requests) == 3


async def test_half_a_request() -> None:
    """A client that leaves too early is not a request."""
    async with fake_vendor() as vendor:
        port = httpx2.URL(vendor.url).port
        assert port is not None
        for start in (b"", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab", b"\x00\r\n\r\n"):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(start or b"")
                await stream.send_eof()
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
    assert vendor.requests == []


async def test_waiting_for_an_outcome_ends() -> None:
    """A test that waits without success fails."""
    answer = Answer(parts=EVENTS, headers=SSE, end="hang")
    async with serving(answer) as (vendor, http), http.stream("POST", "chat", json={}):
        with pytest.raises(TimeoutError):
            await vendor.requests[0].outcome(within=0.01)


async def test_a_message_in_fragments() -> None:
    """The fragments are one message. HTTP needs an upgrade."""

    async def count(socket: FakeSocket) -> None:
        async for message in socket:
            await socket.send({"length": len(message)})

    from httpx2.websockets import AsyncWebSocketClient
    from wsproto.events import BytesMessage, Ping

    async with fake_vendor() as vendor, httpx2.AsyncClient() as client:
        vendor.on("/", count)
        assert (await client.get(vendor.url)).status_code == 426
        async with AsyncWebSocketClient(client).connect(vendor.url) as session:
            await session.send(Ping(b""))
            await session.send(BytesMessage(b"ab", message_finished=False))
            await session.send(BytesMessage(b"c"))
            assert await session.receive_json() == {"length": 3}


def test_answers_are_values() -> None:
    """They can be shared between tests."""
    answer: Any = Answer()
    with pytest.raises(AttributeError):
        answer.status = 201


# ---- the scripts of the conformance kit ------------------------------------------------------------------------------


async def test_a_scripted_vendor_knows_every_script_of_the_kit() -> None:
    """Each answers or fails as its name says. A refusal can quote the request."""
    outcomes: dict[str, str] = {}
    for name in SCRIPTS:
        async with scripted_vendor("/v1/chat", EVENTS, refuse=_quote, base="/v1", timeout=0.2) as scripted:
            scripted.script(name)
            outcomes[name] = await _outcome(scripted)
    assert outcomes == {
        "answer": "one two",
        "hang": "timeout after one",
        "cut": "unavailable after one",
        "unfinished": "one",
        "silent": "timeout",
        "malformed": "no JSON",
        "401": "auth",
        "402": "quota",
        "429": "rate",
        "400": "bad-request",
        "500": "unavailable",
    }


async def test_messages_of_a_scripted_vendor_can_be_changed() -> None:
    """Each JSON object is, in server-sent events and in lines. Other lines stay, and so do other scripts."""
    parts = [b'event: a\ndata: {"text": "one"}\n\n', b'data: {"text": "two"}\r\n\r\ndata: [DONE]\n\n{"text": "three"}']
    seen: list[Any] = []

    def change(message: Any) -> Any:
        seen.append(message)
        return 7 if message["text"] == "two" else {"changed": len(seen)}

    async with scripted_vendor("/v1/chat", parts, refuse=_quote, base="/v1") as scripted, httpx2.AsyncClient() as http:
        scripted.change_messages(change)
        url = f"{scripted.service_options['base_url']}/chat"
        changed = (await http.post(url)).content
        scripted.script("unfinished")
        assert (await http.post(url)).content == parts[0]
    assert changed == b'event: a\ndata: {"changed":1}\n\ndata: 7\r\n\r\ndata: [DONE]\n\n{"changed":3}'
    assert seen == [{"text": "one"}, {"text": "two"}, {"text": "three"}]


async def test_messages_of_a_socket_vendor_can_be_changed() -> None:
    """A message stays text or bytes. Audio is no message."""

    async def talk(socket: FakeSocket) -> None:
        for message in ({"text": "one"}, '{"text": "two"}', b'{"text": "three"}', b"\0\1", "7"):
            await socket.send(message)

    async with fake_vendor() as vendor:
        socket = SocketVendor(vendor, "/chat", talk, is_piece=lambda message: True)
        socket.change_messages(lambda message: message["text"])
        async with connect_websockets("acme", None, base_url=vendor.url) as sockets, sockets.open("chat") as stream:
            assert [message async for message in stream] == ["one", "two", b'"three"', b"\0\1", 7]


def _quote(status: int, request: FakeRequest) -> object:
    return {"status": status, "key": request.headers["authorization"]}


async def _outcome(scripted: ScriptedVendor) -> str:
    options, received = scripted.service_options, list[str]()
    key, retry = Secret("test-key"), Retry(times=0)
    async with connect_http("acme", key, base_url=options["base_url"], timeout=options["timeout"], retry=retry) as http:
        try:
            async with http.stream("POST", "chat", json={}) as response:
                async for event in response.events():
                    received.append(event.data)
        except ProviderError as failed:
            received.append(f"after {received[0]}" if received else "")
            return f"{failed.category} {received[-1]}".strip()
    return " ".join(received)


async def test_a_scripted_vendor_notices_that_it_was_left() -> None:
    """A refusal quotes the key as well."""
    async with scripted_vendor("/v1/chat", EVENTS, refuse=_quote, base="/v1") as scripted:
        scripted.script("hang")
        base_url = scripted.service_options["base_url"]
        async with connect_http("acme", Secret("test-key"), base_url=base_url) as http:
            async with http.stream("POST", "chat", json={}) as response:
                assert (await anext(response.events())).data == "one"
            await scripted.wait_until_left()
        scripted.script("429")
        async with httpx2.AsyncClient() as client:
            refused = await client.post(f"{base_url}/chat", headers={"authorization": "Bearer test-key"})
    assert refused.json() == {"status": 429, "key": "Bearer test-key"}
    assert refused.headers["retry-after"] == "7"


async def test_a_vendor_may_have_a_port() -> None:
    """So another process can find it."""
    async with fake_vendor() as vendor:
        port = int(vendor.url.rpartition(":")[2])
    async with fake_vendor(port) as again, connect_http("acme", None, base_url=again.url) as http:
        again.on("/", Answer(json="here"))
        assert (again.url, await http.get("/")) == (vendor.url, "here")
