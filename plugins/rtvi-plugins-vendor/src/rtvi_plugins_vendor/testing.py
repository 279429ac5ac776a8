r"""A vendor for tests: a real HTTP and WebSocket server on loopback, with scripted answers and faults.

::

    async with fake_vendor() as vendor:
        vendor.on("/chat", Answer(503), Answer(parts=[b"data: Hello\n\n"], end="cut"))
        async with connect_http("acme", KEY, base_url=vendor.url) as http:
            ...
        assert vendor.requests[0].json == {"text": "Hi"}
        assert await vendor.requests[1].outcome() == "cut"

It runs in the event loop of the test, on asyncio and trio. It reads HTTP with h11 and WebSockets with wsproto.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import anyio
import h11
import orjson
import wsproto
import wsproto.events as ws
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field, frozen
from wsproto.utilities import ProtocolError

__all__ = ("Answer", "FakeRequest", "FakeSocket", "FakeVendor", "Outcome", "Script", "fake_vendor")

#: What became of a request: still running; answered to the end; cut by the script; the client left before that.
Outcome: TypeAlias = Literal["running", "answered", "cut", "left"]
#: An HTTP answer, or a function that talks over a WebSocket.
Script: TypeAlias = "Answer | Callable[[FakeSocket], Awaitable[None]]"

_LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@frozen
class Answer:
    """An HTTP answer. It also refuses a WebSocket.

    - `json`: the body, or a function that returns it for a request. Otherwise `parts` are sent one by one, as chunks.
    - `wait`: the seconds before the first byte. `math.inf` never answers.
    - `pause`: the seconds between parts.
    - `end`: after the parts, `finish` the answer, `cut` the connection in the middle of it, or `hang` in silence.
    """

    status: int = 200
    json: Callable[[FakeRequest], object] | object = None
    parts: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(factory=dict[str, str])
    wait: float = 0.0
    pause: float = 0.0
    end: Literal["finish", "cut", "hang"] = "finish"


@define(eq=False)
class FakeRequest:
    """A request that the vendor received."""

    method: str
    path: str
    #: The query. Of a name that occurs twice, it has the last value.
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    #: The connection: requests with the same number came over the same one.
    connection: int = 0
    #: The messages of a WebSocket: JSON values, text that is not JSON, and bytes of binary messages.
    messages: list[Any] = field(factory=list[Any])
    #: The messages that `FakeSocket.send` has sent, as they were given.
    sent: list[Any] = field(factory=list[Any])
    #: The close code that the client sent. None: the client sent none.
    close_code: int | None = None
    state: Outcome = "running"
    #: When it ended, on the clock of `anyio.current_time`.
    ended_at: float | None = None
    _ended: anyio.Event = field(factory=anyio.Event)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    async def outcome(self, within: float = 5.0) -> Outcome:
        """Wait until the request has ended, and return its outcome. Raise `TimeoutError` after `within` seconds."""
        with anyio.fail_after(within):
            await self._ended.wait()
        return self.state

    def end(self, state: Outcome) -> None:
        """Note the outcome. The first one stays."""
        if self.state == "running":
            self.state, self.ended_at = state, anyio.current_time()
        self._ended.set()


@define(eq=False)
class FakeSocket:
    """The vendor's side of a WebSocket. Iterate over it to receive. Iteration ends when the client leaves."""

    request: FakeRequest
    _stream: SocketStream
    _connection: wsproto.WSConnection
    _parts: list[Any] = field(factory=list[Any])

    async def send(self, message: bytes | str | Mapping[str, Any]) -> None:
        """Send bytes, text, or a value as JSON. Nothing happens if the client has left."""
        self.request.sent.append(message)
        await self._write(self._message(message))

    async def send_half(self, message: bytes | str | Mapping[str, Any]) -> None:
        """Send the first half of a frame. Call `cut` or `hang` next."""
        await self._write(self._message(message), half=True)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a WebSocket frame."""
        await self._stream.send(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with this code."""
        self.request.end("answered")
        await self._write(ws.CloseConnection(code, reason))

    async def cut(self) -> None:
        """Cut the connection without a close frame."""
        self.request.end("cut")
        await self._stream.aclose()

    async def hang(self) -> None:
        """Neither read nor write any more, until the test ends."""
        await anyio.sleep_forever()

    def __aiter__(self) -> FakeSocket:
        return self

    async def __anext__(self) -> Any:
        while True:
            for event in self._connection.events():
                match event:
                    case ws.TextMessage() | ws.BytesMessage():
                        if (message := self._whole(event)) is not None:
                            self.request.messages.append(message)
                            return message
                    case ws.Ping():
                        await self._write(event.response())
                    case ws.CloseConnection():
                        self.request.close_code = event.code
                        self.request.end("left")
                        await self._write(event.response())
                        raise StopAsyncIteration
                    case _:
                        pass
            try:
                self._connection.receive_data(await self._stream.receive())
            except _LOST:
                self.request.end("left")
                raise StopAsyncIteration from None

    def _whole(self, event: ws.TextMessage | ws.BytesMessage) -> Any:
        self._parts.append(event.data)
        if not event.message_finished:
            return None
        parts, self._parts = self._parts, []
        return b"".join(parts) if isinstance(event, ws.BytesMessage) else _value("".join(parts))

    def _message(self, message: bytes | str | Mapping[str, Any]) -> ws.Message[Any]:
        if isinstance(message, bytes):
            return ws.BytesMessage(data=message)
        return ws.TextMessage(data=message if isinstance(message, str) else orjson.dumps(message).decode())

    async def _write(self, event: ws.Event, *, half: bool = False) -> None:
        try:
            data = self._connection.send(event)
            await self._stream.send(data[: len(data) // 2] if half else data)
        except (*_LOST, ProtocolError):
            self.request.end("left")


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # a command of some vendors is a plain word
        return text


@define(eq=False)
class FakeVendor:
    """A server with scripted answers. Get one from `fake_vendor`."""

    #: The base URL, such as `http://127.0.0.1:40123`.
    url: str
    #: All requests, in the order in which they arrived.
    requests: list[FakeRequest] = field(factory=list[FakeRequest])
    _scripts: dict[str, list[Script]] = field(factory=dict[str, list[Script]])
    _connections: int = 0

    def on(self, path: str, *scripts: Script) -> None:
        """Answer the requests for a path, each with the next script. The last one stays. Other paths are a 404."""
        self._scripts[path] = list(scripts)

    async def serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection."""
        self._connections += 1
        number, http = self._connections, h11.Connection(h11.SERVER)
        async with stream:
            try:
                while (request := await _read(stream, http, number)) is not None:
                    self.requests.append(request)
                    try:
                        again = await self._answer(stream, http, request)
                    finally:
                        request.end("left")
                    if not again:
                        return
            except (*_LOST, h11.RemoteProtocolError):
                pass

    async def _answer(self, stream: SocketStream, http: h11.Connection, request: FakeRequest) -> bool:
        scripts = self._scripts.get(request.path, [Answer(404)])
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if not isinstance(script, Answer) and request.headers.get("upgrade") != "websocket":
            script = Answer(426)
        if isinstance(script, Answer):
            return await _say(stream, http, request, script)
        connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        connection.initiate_upgrade_connection(headers, request.path)
        await stream.send(connection.send(ws.AcceptConnection()))
        socket = FakeSocket(request, stream, connection)
        await script(socket)
        if request.state == "running":
            await socket.close()
        return False


async def _read(stream: SocketStream, http: h11.Connection, number: int) -> FakeRequest | None:
    """Read the next request. None: the client has left."""
    request: FakeRequest | None = None
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            try:
                http.receive_data(await stream.receive())
            except anyio.EndOfStream:
                http.receive_data(b"")
        elif isinstance(event, h11.Request):
            url = urlsplit(event.target.decode())
            headers = {name.decode(): value.decode() for name, value in event.headers}
            request = FakeRequest(event.method.decode(), url.path, dict(parse_qsl(url.query)), headers)
            request.connection = number
        elif isinstance(event, h11.Data) and request is not None:
            request.body += event.data
        else:  # the end of the request, or of the connection
            return request


async def _say(stream: SocketStream, http: h11.Connection, request: FakeRequest, answer: Answer) -> bool:
    """Answer, and return whether the connection can be used again."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, stream, http, request, tasks.cancel_scope)
        try:
            await _send(stream, http, request, answer)
        except _LOST:
            request.end("left")
        tasks.cancel_scope.cancel()
    if request.state == "answered" and http.our_state is http.their_state is h11.DONE:
        http.start_next_cycle()
        return True
    return False


async def _send(stream: SocketStream, http: h11.Connection, request: FakeRequest, answer: Answer) -> None:
    await _pause(answer.wait)
    json = answer.json(request) if callable(answer.json) else answer.json
    parts = answer.parts if json is None else [orjson.dumps(json)]
    types = {} if json is None else {"content-type": "application/json"}
    length = {"content-length": str(len(parts[0]))} if json is not None else {"transfer-encoding": "chunked"}
    headers = {**types, **length, **answer.headers}
    await stream.send(http.send(h11.Response(status_code=answer.status, headers=list(headers.items()))) or b"")
    for number, part in enumerate(parts):
        await _pause(answer.pause if number else 0.0)
        await stream.send(http.send(h11.Data(data=part)) or b"")
    if answer.end == "hang":
        await anyio.sleep_forever()
    if answer.end == "finish":
        request.end("answered")  # before the last byte, after which the client continues
        await stream.send(http.send(h11.EndOfMessage()) or b"")
    else:
        request.end("cut")


async def _pause(seconds: float) -> None:
    await (anyio.sleep_forever() if seconds == math.inf else anyio.sleep(seconds))


async def _watch(stream: SocketStream, http: h11.Connection, request: FakeRequest, scope: anyio.CancelScope) -> None:
    """Note when the client leaves. A fast client may already send its next request, which is kept."""
    try:
        while True:
            http.receive_data(await stream.receive())
    except _LOST:
        request.end("left")
        scope.cancel()


@asynccontextmanager
async def fake_vendor(port: int = 0) -> AsyncGenerator[FakeVendor]:
    """Run a vendor on a port of 127.0.0.1; 0 picks a free one. Leaving the block ends all connections."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    vendor = FakeVendor(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, vendor.serve)
        try:
            yield vendor
        finally:
            tasks.cancel_scope.cancel()
