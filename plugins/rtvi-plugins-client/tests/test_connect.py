"""`connect`: sessions through an ASGI app in memory, and every way in which a server can be wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import anyio
import httpx2
import pytest
from attrs import define, field
from httpx2.websockets import ASGIWebSocketTransport

from rtvi_plugins import Session, action, bot
from rtvi_plugins.client import InvalidAnswer, NoAnswer
from rtvi_plugins.errors import InvalidArguments, RequestError, SessionClosed, Unauthorized, UnknownService
from rtvi_plugins.hosting import Connection, Host
from rtvi_plugins.session import Secret
from rtvi_plugins_client import Unreachable, connect

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio", "asyncio+uvloop"], indirect=True, scope="module"),
]

URL = "http://bot.example/hotel/"
LONG = "x" * 500_000


@bot(client=["bot:add", "bot:start_data", "bot:recite", "bot:hang_up"])
async def desk(session: Session, /) -> None:
    """Adds numbers for its operator's clients."""
    await anyio.sleep_forever()


@action(desk)
async def add(a: int, b: int) -> int:
    """Return the sum of two numbers."""
    return a + b


@action(desk)
async def start_data(session: Session, /) -> dict[str, Any]:
    """Return the other data of the start."""
    return dict(session.start_data)


@action(desk)
async def recite() -> str:
    """Return a long text."""
    return LONG


@action(desk)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close("the desk has closed")


# ---- a front door in memory ----------------------------------------------------------------------------------------

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]


@define
class Door:
    """The ASGI app of one host. If there is an `answer`, starts get it as status and body instead of a session."""

    host: Host
    answer: tuple[int, bytes] | None = None
    paths: list[str] = field(factory=list[str])

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if scope["type"] == "http":
            sent = await _body(receive)
            status, body = self.answer or await self._start(scope, sent)
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._hold(scope, receive, send)

    async def _start(self, scope: Mapping[str, Any], sent: bytes) -> tuple[int, bytes]:
        secret = dict(scope["headers"]).get(b"x-rtvi-operator-secret")
        try:
            started = await self.host.start(json.loads(sent), secret=secret and secret.decode())
        except RequestError as error:
            payload = error.to_json()
            return error.status, json.dumps({**payload, "error": error.code, "info": error.message}).encode()
        return 200, json.dumps({"wsUrl": "ws://bot.example/ws", "token": started.token}).encode()

    async def _hold(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        try:
            connection = self.host.claim(parse_qs(scope["query_string"].decode()).get("token", [""])[0])
        except RequestError:
            return await send({"type": "websocket.close", "code": 1008})
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"media, which a client of texts passes over"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, connection, send)
            while (event := await receive())["type"] == "websocket.receive":
                connection.receive(event["text"])
            connection.disconnected()
            tasks.cancel_scope.cancel()


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    return body


async def _write(connection: Connection, send: Send) -> None:
    while texts := await connection.outgoing():
        for text in texts:
            await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": connection.close_code, "reason": connection.close_reason})


@asynccontextmanager
async def opened(answer: tuple[int, bytes] | None = None) -> AsyncGenerator[tuple[dict[str, Any], Door]]:
    """Return the arguments with which `connect` reaches the desk, and the app that it uses."""
    secret = Secret("secret-of-a-test")
    async with Host(desk, operator_secret=secret, environ={}) as host:
        door = Door(host, answer)
        async with httpx2.AsyncClient(transport=ASGIWebSocketTransport(door)) as http:
            yield {"http": http, "secret": secret}, door


@contextmanager
def silent_server() -> Generator[str]:
    """Return the URL of a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# ---- sessions ------------------------------------------------------------------------------------------------------


async def test_a_client_calls_an_action() -> None:
    """When `connect` returns the client, the start, the WebSocket and the introduction have succeeded."""
    async with opened() as (way, _), connect(URL, **way) as client:
        assert client.bot.version == "2.1.0"
        assert await client.action("bot:add", a=1, b=2) == 3


async def test_the_base_url_may_have_a_path() -> None:
    """The start of a bot behind a proxy is below the given URL, with or without a slash at its end."""
    async with opened() as (way, door):
        for url in (URL, URL.rstrip("/")):
            async with connect(url, **way):
                pass
    assert door.paths == ["/hotel/start", "/ws"] * 2


async def test_the_start_carries_what_the_application_wants() -> None:
    """Fields that the framework does not use reach the bot."""
    async with opened() as (way, _), connect(URL, request={"room": 5}, **way) as client:
        assert await client.action("bot:start_data") == {"room": 5}


async def test_a_long_message_comes_whole() -> None:
    """It is far longer than the library's own limit."""
    async with opened() as (way, _), connect(URL, **way) as client:
        assert await client.action("bot:recite") == LONG


async def test_leaving_ends_the_session() -> None:
    """The bot does not wait for a client that has left."""
    async with opened() as (way, door):
        async with connect(URL, **way):
            assert door.host.open_sessions == 1
        await anyio.wait_all_tasks_blocked()
        assert door.host.open_sessions == 0


async def test_the_callers_http_client_stays_open() -> None:
    """It can be used for the next session."""
    async with opened() as (way, _):
        for _ in range(2):
            async with connect(URL, **way) as client:
                assert await client.action("bot:add", a=2, b=2) == 4


async def test_the_end_of_the_session_ends_the_events() -> None:
    """The iteration ends, and later requests raise an error."""
    async with opened() as (way, _), connect(URL, **way) as client:
        with pytest.raises(SessionClosed):
            await client.action("bot:hang_up")
        assert [event async for event in client.events()] == []
        with pytest.raises(SessionClosed):
            await client.get_config()


async def test_what_is_raised_inside_comes_out_as_it_is() -> None:
    """Neither the client's tasks nor the socket's wrap it in an exception group."""
    async with opened() as (way, _):
        with pytest.raises(InvalidArguments, match="b: is required"):
            async with connect(URL, **way) as client:
                await client.action("bot:add", a=1)


# ---- refusals ------------------------------------------------------------------------------------------------------


async def test_a_refused_start_is_the_error_of_its_code() -> None:
    """The error has all problems."""
    async with opened() as (way, _):
        with pytest.raises(UnknownService) as raised:
            async with connect(URL, services={"llm": "acme"}, **way):
                pytest.fail("the bot has no such service")
    assert [problem.path for problem in raised.value.problems] == ["$.services.llm"]


@pytest.mark.parametrize(
    ("location", "asked"),
    [("../w1/start?sent=1", "http://bot.example/w1/start?sent=1"), ("http://evil.example/", None)],
)
async def test_a_redirect_leads_to_no_other_server(location: str, asked: str | None) -> None:
    """That server would get the operator's secret. A resumed session may be on another worker of the same server."""
    urls: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        urls.append(str(request.url))
        return httpx2.Response(307 if len(urls) == 1 else 503, headers={"location": location})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        with pytest.raises(RequestError, match="HTTP 307" if asked is None else "HTTP 503"):
            async with connect(URL, http=http, secret=Secret("secret-of-a-test")):
                pass
    assert urls == [f"{URL}start", *([] if asked is None else [asked])]


async def test_a_plain_text_as_secret_is_refused() -> None:
    """A `Secret` is never printed."""
    secret: Any = "secret-of-a-test"
    with pytest.raises(TypeError, match=r"Write secret=Secret\("):
        async with connect(URL, secret=secret):
            pass


async def test_a_bot_that_is_not_public_wants_the_secret() -> None:
    """Without the secret, the start is refused with the server's own error."""
    async with opened() as (way, _):
        with pytest.raises(Unauthorized):
            async with connect(URL, http=way["http"]):
                pytest.fail("nobody may start this bot")


@pytest.mark.parametrize("body", [b"<h1>Bad Gateway</h1>", b"", b"[]", b"null"])
async def test_a_refusal_in_other_words_tells_the_status(body: bytes) -> None:
    """An answer of a proxy in front of the server is an error, too."""
    async with opened((502, body)) as (way, _):
        with pytest.raises(RequestError, match="HTTP 502") as raised:
            async with connect(URL, **way):
                pytest.fail("there is no session")
    assert raised.value.retryable


@pytest.mark.parametrize("body", [b"hello", b"{}", b"[]", b'{"wsUrl": 5, "token": "x"}', b'{"wsUrl": "ws://["}'])
async def test_a_start_that_gives_no_session_is_an_error(body: bytes) -> None:
    """A different kind of server answered."""
    async with opened((200, body)) as (way, _):
        with pytest.raises(InvalidAnswer, match="something else than a session"):
            async with connect(URL, **way):
                pytest.fail("there is no session")


async def test_a_refused_websocket_is_an_error() -> None:
    """A token that the server does not know opens nothing."""
    async with opened((200, b'{"wsUrl": "ws://bot.example/ws", "token": "unknown"}')) as (way, _):
        with pytest.raises(RequestError):
            async with connect(URL, **way):
                pytest.fail("the token is nobody's")


# ---- servers that are none -----------------------------------------------------------------------------------------


async def test_nobody_at_the_address_is_unreachable() -> None:
    """The sentence names the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unreachable, match=url):
        async with connect(url):
            pytest.fail("nobody listens there")


@pytest.mark.parametrize("url", ["127.0.0.1:7860", "nonsense", "", "http://", "ftp://bot.example"])
async def test_what_is_no_url_is_unreachable(url: str) -> None:
    """It is reported as an error of this client, and not of its HTTP library."""
    with pytest.raises(Unreachable):
        async with connect(url):
            pytest.fail("there is no such URL")


async def test_a_start_that_is_not_answered_is_given_up() -> None:
    """It is given up after the caller's time limit."""
    with silent_server() as url, pytest.raises(NoAnswer, match=r"within 0\.05 s"):
        async with connect(url, timeout=0.05):
            pytest.fail("nobody answers there")


async def test_a_websocket_that_is_not_answered_is_given_up() -> None:
    """The start is answered, but the WebSocket is not."""
    with silent_server() as url:
        body = f'{{"wsUrl": "ws{url[4:]}/ws", "token": "x"}}'.encode()
        start = httpx2.MockTransport(lambda request: httpx2.Response(200, content=body))
        async with httpx2.AsyncClient(mounts={"http://bot.example": start}) as http:
            with pytest.raises(NoAnswer, match="did not open the WebSocket"):
                async with connect("http://bot.example", timeout=0.05, http=http):
                    pytest.fail("nobody answers there")
