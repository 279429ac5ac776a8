"""Calls with audio in both directions, without our client. They resume by themselves, and note all errors."""

from __future__ import annotations

import asyncio
import json
import random
from array import array
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
from attrs import define, field
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rtvi_plugins.kinds import Audio
from rtvi_plugins_server._protobuf import decode, encode

from ..tools.patience import PATIENCE

__all__ = ("Call", "calling", "http_client", "newcomer")

_RATE, _FRAME_SECONDS = 16_000, 0.02
#: How long a caller waits at most before it comes back, and how long before it tries again, in seconds.
_DELAY, _AGAIN = 0.5, 0.1


def http_client() -> httpx2.AsyncClient:
    """Return a client that allows connections for all calls at once."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncClient(timeout=PATIENCE, follow_redirects=True, limits=limits)


@define(eq=False)
class Call:
    """One call. `number` is the only sample that it sends, and the only one that it may hear."""

    url: str
    http: httpx2.AsyncClient
    number: int
    #: What has come of each booking, by its name: what was returned, or the code of an error.
    booked: dict[str, Any] = field(factory=dict[str, Any])
    #: How often each request was answered.
    answers: Counter[str] = field(factory=Counter[str])
    #: The process and the version of the last booking.
    process: int = 0
    version: int = 0
    #: The frames of audio that have come on this connection, and all samples in any of them.
    frames: int = 0
    samples: set[int] = field(factory=set[int])
    #: The samples that the bot has heard of this call.
    heard: set[int] = field(factory=set[int])
    #: For how long the call was interrupted each time, in seconds, until the bot was ready again.
    gaps: list[float] = field(factory=list[float])
    #: How often a start was refused, by status, and the close codes of the sockets.
    refused: Counter[int] = field(factory=Counter[int])
    closed: Counter[int | None] = field(factory=Counter[int | None])
    resent: int = 0
    _socket: ClientConnection | None = None
    _token: str = ""
    _received: int = 0
    _lost: float | None = None
    _waiting: dict[str, tuple[bytes, asyncio.Future[Any]]] = field(
        factory=dict[str, tuple[bytes, "asyncio.Future[Any]"]]
    )
    #: The requests that waited when `client-ready` was sent.
    _told: set[str] = field(factory=set[str])
    _sending: set[asyncio.Future[None]] = field(factory=set["asyncio.Future[None]"])
    _ready: asyncio.Event = field(factory=asyncio.Event)
    _leaving: asyncio.Event = field(factory=asyncio.Event)

    async def run(self) -> None:
        """Hold the call until `leave`."""
        await self._connect({"config": {"tts": {"number": self.number}}})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            await self._ready.wait()
            await self._ask("llm:run", f"{self.number}-run")
            speaking = tasks.create_task(self._speak())
            await tasks.create_task(self._be_busy())
            speaking.cancel()
            assert self._socket is not None
            await self._socket.close()

    def leave(self) -> None:
        """End the call after the pending request."""
        self._leaving.set()

    # ---- to the bot ------------------------------------------------------------------------------------------------

    async def _be_busy(self) -> None:
        chance, number = random.Random(self.number), 0
        while not self._leaving.is_set():
            number += 1
            name = f"{self.number}-{number}"
            self.booked[name] = found = await self._ask("bot:book", name, name=name)
            if isinstance(found, dict):
                self.process, self.version = found["process"], found["version"]
            if number % 10 == 0:
                self.heard.update(await self._ask("vad:heard", f"{name}-heard"))
            await asyncio.sleep(0.1 + 0.2 * chance.random())

    async def _ask(self, action: str, id: str, **arguments: Any) -> Any:
        service, _, name = action.partition(":")
        sent = [{"name": each, "value": value} for each, value in arguments.items()]
        frame = _message("action", {"service": service, "action": name, "arguments": sent}, id)
        answered = asyncio.get_running_loop().create_future()
        self._waiting[id] = frame, answered
        if self._ready.is_set():
            await self._send(frame)
        async with asyncio.timeout(PATIENCE):
            return await answered

    async def _speak(self) -> None:
        clock = asyncio.get_running_loop().time
        frame, due = encode(Audio(array("h", [self.number] * 320).tobytes(), _RATE), 0), clock()
        while True:
            await self._ready.wait()
            await self._send(frame)
            due = max(due + _FRAME_SECONDS, clock() - 0.2)
            await asyncio.sleep(max(0.0, due - clock()))

    async def _send(self, frame: bytes) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):  # `_listen` notices it too, and comes back
            await self._socket.send(frame)

    def _send_soon(self, frame: bytes) -> None:
        task = asyncio.ensure_future(self._send(frame))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # ---- from the bot ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            socket = self._socket
            assert socket is not None
            with suppress(ConnectionClosed):
                async for data in socket:
                    assert isinstance(data, bytes)
                    self._take(decode(data))
            self.closed[socket.close_code] += 1
            if self._leaving.is_set():
                return
            self._ready.clear()
            self._lost = self._lost or asyncio.get_running_loop().time()
            await asyncio.sleep(random.uniform(0, _DELAY))
            await self._connect({"resume": self._token})

    def _take(self, item: str | Audio | None) -> None:
        if isinstance(item, Audio):
            self.frames += 1
            self.samples.update(array("h", item.data))
            return
        message = json.loads(item or "{}")
        self._received += 1
        data: Any = message.get("data")
        id: Any = message.get("id")
        match message["type"]:
            case "bot-ready":
                self._begin(data)
            case "error-response" if data["code"] == "not-received":
                self.resent += 1
                self._send_soon(self._waiting[id][0])
            case "action-response" | "error-response":
                self.answers[id] += 1
                if id in self._waiting:
                    self._waiting.pop(id)[1].set_result(data["result"] if "result" in data else data["code"])
            case _:
                pass

    def _begin(self, data: Any) -> None:
        self._received, self._token = 1, data["about"]["resume"]["token"]
        if self._lost is not None:
            self.gaps.append(asyncio.get_running_loop().time() - self._lost)
            self._lost = None
        self._ready.set()
        for id, (frame, _) in self._waiting.items():
            if id not in self._told:  # asked for since `client-ready`
                self._send_soon(frame)

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _connect(self, body: object) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(httpx2.TransportError, OSError, ConnectionClosed):
                    response = await self.http.post(f"{self.url}/start", json=body)
                    if response.is_success:
                        started = response.json()
                        url = f"{started['wsUrl']}?token={started['token']}"
                        self._socket = await connect(url, max_size=None, ping_interval=None, proxy=None)
                        self.frames, self._told = 0, set(self._waiting)
                        about = {"waiting": list(self._told), "received": self._received} if self._token else {}
                        return await self._send(_message("client-ready", {"version": "2.1.0", **about}, "ready"))
                    self.refused[response.status_code] += 1
                    if response.status_code == 401:
                        raise AssertionError(f"call {self.number} was lost: {response.text}")
                await asyncio.sleep(_AGAIN)


def _message(type: str, data: Any, id: str) -> bytes:
    return encode(json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data}), 0)


@asynccontextmanager
async def calling(url: str, count: int) -> AsyncGenerator[list[Call]]:
    """Hold this number of calls until the block ends."""
    async with http_client() as http, asyncio.TaskGroup() as tasks:
        calls = [Call(url, http, number + 1) for number in range(count)]
        for each in calls:
            tasks.create_task(each.run())
        yield calls
        for each in calls:
            each.leave()


async def newcomer(http: httpx2.AsyncClient, url: str, name: str) -> int:
    """Start a session, book once under this name, and leave. Return the version. Raise if the start is refused."""
    started = (await http.post(f"{url}/start", json={})).raise_for_status().json()
    async with connect(f"{started['wsUrl']}?token={started['token']}", proxy=None) as socket:
        for message in (
            {"type": "client-ready", "id": "ready", "data": {"version": "2.1.0"}},
            {
                "type": "action",
                "id": "book",
                "data": {"service": "bot", "action": "book", "arguments": [{"name": "name", "value": name}]},
            },
        ):
            await socket.send(json.dumps({"label": "rtvi-ai", **message}))
        async with asyncio.timeout(PATIENCE):
            while (answer := json.loads(await socket.recv()))["type"] != "action-response":
                pass
    return int(answer["data"]["result"]["version"])
