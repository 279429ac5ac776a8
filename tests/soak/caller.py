"""A client that talks to a server process: the published WebSocket transport's frames, with the microphone on."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from attrs import define, field
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rtvi_plugins.kinds import Audio
from rtvi_plugins_server._protobuf import decode, encode

from ..tools.flite import RATE, speech
from ..tools.inbox import Inbox, Message

__all__ = ("Caller", "calling", "start")

_FRAME_SECONDS = 0.02
_FRAME_BYTES = 2 * RATE // 50
_LOUD = 500


async def start(http: httpx2.AsyncClient) -> str:
    """Start a session, and return the URL of its WebSocket."""
    body = (await http.post("/start", json={})).raise_for_status().json()
    return f"{body['wsUrl']}?token={body['token']}"


@define(eq=False)
class Caller:
    """One client. `inbox` has the messages that the bot has sent."""

    socket: ClientConnection
    inbox: Inbox = field(factory=Inbox)
    #: Frames of the bot's audio: all, those that can be heard, and those that came while it said to be silent.
    frames: int = 0
    loud_frames: int = 0
    stray_frames: int = 0
    _bot_speaks: bool = False
    _to_say: deque[bytes] = field(factory=deque[bytes])
    _ids: int = 0

    # ---- to the bot ------------------------------------------------------------------------------------------------

    async def send(self, type: str, data: Any = None) -> str:
        """Send a message, and return its id."""
        self._ids += 1
        id = f"call-{self._ids}"
        message: dict[str, Any] = {"label": "rtvi-ai", "type": type, "id": id, "data": data or {}}
        await self.socket.send(encode(json.dumps(message), self._ids))
        return id

    async def ready(self) -> None:
        """Say that the client is ready, and wait for the bot."""
        await self.send("client-ready", {"version": "2.1.0", "about": {"library": "a test"}})
        await self.inbox.find("bot-ready")

    async def write(self, text: str) -> None:
        """Send a text, as if the user had typed it."""
        await self.send("send-text", {"content": text, "options": {}})

    async def call(self, action: str, **arguments: Any) -> str:
        """Call one of the bot's own actions, and return the id of the request."""
        listed = [{"name": name, "value": value} for name, value in arguments.items()]
        service, _, name = action.partition(":")
        return await self.send("action", {"service": service, "action": name, "arguments": listed})

    def say(self, text: str) -> float:
        """Say something aloud, after everything that was given before. Return how many seconds it takes."""
        sound = speech(text)
        for at in range(0, len(sound), _FRAME_BYTES):
            self._to_say.append(sound[at : at + _FRAME_BYTES].ljust(_FRAME_BYTES, b"\0"))
        return len(sound) / (2 * RATE)

    async def speak(self) -> None:
        """Send what the microphone hears, in real time, until the connection ends."""
        clock, silence = asyncio.get_running_loop().time, bytes(_FRAME_BYTES)
        due = clock()
        try:
            while True:
                frame = self._to_say.popleft() if self._to_say else silence
                await self.socket.send(encode(Audio(frame, RATE), 0))
                due += _FRAME_SECONDS
                await asyncio.sleep(max(0.0, due - clock()))
        except ConnectionClosed:
            return

    # ---- from the bot ----------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Receive what the bot sends, until the connection ends."""
        try:
            async for data in self.socket:
                assert isinstance(data, bytes)
                self._take(decode(data))
        except ConnectionClosed:
            pass
        self.inbox.end()

    def _take(self, item: str | Audio | None) -> None:
        if isinstance(item, Audio):
            self.frames += 1
            self.stray_frames += not self._bot_speaks
            self.loud_frames += max(map(abs, array("h", item.data)), default=0) > _LOUD
        elif item is not None:
            message: Message = json.loads(item)
            self.inbox.take(message)
            if message["type"] in ("bot-started-speaking", "bot-stopped-speaking"):
                self._bot_speaks = message["type"] == "bot-started-speaking"

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def hang_up(self) -> None:
        """Close the connection properly."""
        await self.socket.close()

    def vanish(self) -> None:
        """Cut the connection without closing it."""
        self.socket.transport.abort()


@asynccontextmanager
async def calling(url: str, *, aloud: bool = True) -> AsyncGenerator[Caller]:
    """Connect a client to a session that was started. `aloud` is whether its microphone is on."""
    # The server's bound on its answers is none of the client's business, nor does it need keepalives to be seen.
    socket = await connect(url, max_size=None, ping_interval=None, compression=None, proxy=None)
    caller = Caller(socket)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(caller.listen())
        speaking = tasks.create_task(caller.speak()) if aloud else None
        try:
            yield caller
        finally:
            if speaking is not None:
                speaking.cancel()
            await socket.close()
            await listening
