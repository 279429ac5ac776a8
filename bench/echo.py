"""Two echoes, which show the cost of each frame without our framework.

`serve_plain` is what an author has without it: an ASGI app on uvicorn with its own protocols. `Echo` is an echo behind
our server, which carries its frames like those of a session. The difference is what a session does.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import uvicorn
from starlette.types import Receive, Scope, Send

from rtvi_plugins_server._websocket_session import EXTENSION, CloseFrame

Frame = str | bytes


class EchoApp:
    """Answers each frame by another, without delay."""

    close_frame: CloseFrame | None = None

    def __init__(self, answer: Callable[[Frame], Frame]) -> None:
        self.on_sendable: Callable[[], None] | None = None
        self._answer = answer
        self._answers: list[Frame] = []

    def charge(self, size: int) -> bool:
        return True

    def receive(self, data: Frame) -> None:
        self._answers.append(self._answer(data))
        if self.on_sendable is not None:
            self.on_sendable()

    def take(self) -> Sequence[Frame]:
        answers, self._answers = self._answers, []
        return answers

    def disconnected(self, *, left: bool = False) -> None:
        self._answers.clear()


class Echo:
    """An app whose WebSocket is carried by our server."""

    def __init__(self, answer: Callable[[Frame], Frame]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["extensions"][EXTENSION]["attach"](EchoApp(self._answer))


def serve_plain(listener: socket.socket, answers: dict[str, Callable[[Frame], Frame]]) -> None:
    """Serve echoes by their paths on uvicorn as it is, with its fastest protocols."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = answers[scope["path"]]
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            text = event.get("text")
            item = answer(event["bytes"] if text is None else text)
            await send({"type": "websocket.send", "text" if isinstance(item, str) else "bytes": item})

    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="off", log_config=None, access_log=False
    )
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run([listener])
