"""A server that speaks OpenAI's chat API, for tests: it says what it was told to and remembers what it was asked.

In a test it is an ASGI app (`OpenAIServer.app`), served in process or by `serve()` on a real socket. As a process,
`python openai_server.py --port 0 --name together`, it prints `READY <port>` and answers every conversation with its
own name, the model and the last message, and `GET /_requests` with what it was asked so far.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn
from attrs import define, field, frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rtvi_plugins.session import Secret

__all__ = (
    "KEY",
    "Asked",
    "OpenAIServer",
    "Refuses",
    "Says",
    "calling",
    "chunk",
    "failing",
    "saying",
    "serve",
)

#: The key of the tests.
KEY = Secret("key-of-a-test")
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


@frozen
class Asked:
    """A request that arrived: its key, its connection (the client's port), and its body."""

    method: str
    path: str
    key: str
    port: int
    body: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        fields = {"method": self.method, "path": self.path, "key": self.key, "model": self.body.get("model")}
        return {**fields, "body": dict(self.body)}


# ---- what it can be scripted to answer -------------------------------------------------------------------------------


@frozen
class Says:
    """A stream of chunks. Then it is `done`, the connection breaks `off`, or it `hangs` until the client leaves."""

    chunks: Sequence[Mapping[str, Any] | str]
    then: Literal["done", "off", "hangs"] = "done"


@frozen
class Refuses:
    """An error response."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}


#: What every chunk has.
_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "small-1"}


def chunk(delta: Mapping[str, Any], *, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    """Return a chunk of an answer."""
    return {**_CHUNK, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def saying(*pieces: str) -> Says:
    """Return an answer in these pieces, followed by its usage."""
    texts = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    return Says([*texts, chunk({}, finish="stop"), {**_CHUNK, "choices": [], "usage": USAGE}])


def calling(*calls: tuple[str, str, str]) -> Says:
    """Return function calls, each as id, name and arguments. The arguments come character by character."""
    chunks: list[Mapping[str, Any]] = []
    for index, (id, name, arguments) in enumerate(calls):
        first = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        slivers = [{"index": index, "function": {"arguments": each}} for each in arguments]
        chunks += [chunk({"tool_calls": [each]}) for each in (first, *slivers)]
    return Says([*chunks, chunk({}, finish="tool_calls"), {**_CHUNK, "choices": [], "usage": USAGE}])


def failing(code: str | int | None, type: str = "error", *, after: str = "Well") -> Says:
    """Return an error in the middle of a stream."""
    return Says([chunk({"content": after}), {"error": {"message": "words of a vendor", "type": type, "code": code}}])


# ---- the server ------------------------------------------------------------------------------------------------------


@define
class OpenAIServer:
    """Gives the answers of its script in order. After the script, the answer describes the request."""

    name: str = "openai"
    #: The one key that it accepts; None accepts any.
    key: str | None = None
    needs_key: bool = True
    script: list[Says | Refuses] = field(factory=list["Says | Refuses"])
    models: Any = field(factory=lambda: {"object": "list", "data": [{"id": "small-1"}, {"id": "large-1"}]})
    asked: list[Asked] = field(factory=list[Asked])
    #: Set when a stream that hangs has begun, and when it was left.
    hanging: threading.Event = field(factory=threading.Event)
    left: threading.Event = field(factory=threading.Event)

    @property
    def app(self) -> Starlette:
        """Return the ASGI app. Its paths begin with `/v1`, as those of the vendors do."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._list_models),
                Route("/_requests", self._requests),
            ]
        )

    async def _complete(self, request: Request) -> Response:
        if (refused := await self._refusal(request)) is not None:
            return refused
        answer = self.script.pop(0) if self.script else self._default()
        if isinstance(answer, Refuses):
            return JSONResponse(answer.body, answer.status, answer.headers)
        return StreamingResponse(self._stream(answer, request), media_type="text/event-stream")

    async def _list_models(self, request: Request) -> Response:
        return await self._refusal(request) or JSONResponse(self.models)

    async def _requests(self, request: Request) -> Response:
        return JSONResponse([each.to_json() for each in self.asked])

    async def _refusal(self, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        port = request.client.port if request.client else 0
        content = await request.body()
        self.asked.append(Asked(request.method, request.url.path, key, port, json.loads(content or "{}")))
        if not self.needs_key or (scheme == "Bearer" and key and self.key in (None, key)):
            return None
        # Vendors repeat what they refuse, and so must this one, or nobody would notice where it ends up.
        error = {"message": f"Incorrect API key provided: {key}", "type": "invalid_request_error"}
        return JSONResponse({"error": {**error, "code": "invalid_api_key"}}, 401)

    def _default(self) -> Says:
        body = self.asked[-1].body
        said = body["messages"][-1].get("content") if body.get("messages") else None
        words = f"{self.name} {body.get('model')} heard: {said}".split(" ")
        return saying(*(f"{word} " for word in words[:-1]), words[-1])

    async def _stream(self, answer: Says, request: Request) -> AsyncGenerator[str]:
        for each in answer.chunks:
            yield f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n"
        if answer.then == "done":
            yield "data: [DONE]\n\n"
        if answer.then == "hangs":
            self.hanging.set()
            await self._wait_until_left(request)

    async def _wait_until_left(self, request: Request) -> None:
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        finally:
            self.left.set()


# ---- a real socket ---------------------------------------------------------------------------------------------------


def _uvicorn(server: OpenAIServer) -> uvicorn.Server:
    config = uvicorn.Config(server.app, lifespan="off", ws="none", log_level="critical", access_log=False)
    return uvicorn.Server(config)


@contextmanager
def serve(server: OpenAIServer) -> Generator[str]:
    """Serve it in a thread, on a free port of this machine. Yield the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients may connect from now on
        running = _uvicorn(server)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            running.should_exit = running.force_exit = True
            thread.join()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A server that speaks OpenAI's chat API, for tests.")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0, the default, takes a free port")
    parser.add_argument("--name", default="openai", help="what it calls itself in its answers")
    parser.add_argument("--key", help="the one key that it accepts; without it, any")
    given = parser.parse_args()
    with socket.create_server(("127.0.0.1", given.port)) as listener:
        print(f"READY {listener.getsockname()[1]}", flush=True)  # noqa: T201
        _uvicorn(OpenAIServer(given.name, given.key)).run(sockets=[listener])


if __name__ == "__main__":
    main()
