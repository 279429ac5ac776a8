"""FastAPI with pydantic models: an action as a POST and over a WebSocket, as one writes them by hand."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from messages import TEXT
from pydantic import BaseModel, ConfigDict, StrictBool, StrictStr

from peers import Answer


class Say(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: StrictStr
    interrupt: StrictBool


class Result(BaseModel):
    result: str


class Argument(BaseModel):
    name: str
    value: Any


class Call(BaseModel):
    service: str
    action: str
    arguments: list[Argument]


class Action(BaseModel):
    label: Literal["rtvi-ai"]
    type: Literal["action"]
    id: str
    data: Call


class Answered(BaseModel):
    label: str = "rtvi-ai"
    type: str = "action-response"
    id: str
    data: Result


async def _say(text: str, interrupt: bool) -> str:
    return text


_ACTIONS = {("tts", "say"): (Say, _say)}

# ---- a POST, in process --------------------------------------------------------------------------------------------


async def dispatch() -> tuple[str, Answer]:
    app = FastAPI()

    @app.post("/tts/say")
    async def posted(body: Say) -> Result:
        return Result(result=await _say(body.text, body.interrupt))

    async def answer(text: str) -> str:
        return await _post(app, "/tts/say", text.encode())

    return json.dumps({"text": TEXT, "interrupt": False}), answer


async def _post(app: FastAPI, path: str, body: bytes) -> str:
    """The answer's body, without a server or a client in between."""
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Any) -> None:
        said.append(event)

    await app(_scope(path, len(body)), receive, send)
    return b"".join(event["body"] for event in said[1:]).decode()


def _scope(path: str, length: int) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    asked = {"method": "POST", "path": path, "root_path": "", "query_string": b"", "headers": headers}
    return {"type": "http", "http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0"}, **asked}


# ---- over a WebSocket ----------------------------------------------------------------------------------------------


def serve(ready: Callable[[int], None]) -> None:
    app = FastAPI()
    app.websocket("/")(_talk)
    listener = socket.create_server(("127.0.0.1", 0))
    ready(listener.getsockname()[1])  # those who connect from now on are kept waiting until it listens to them
    config = uvicorn.Config(app, log_level="critical", loop="uvloop", ws="websockets-sansio")
    uvicorn.Server(config).run(sockets=[listener])


async def _talk(client: WebSocket) -> None:
    await client.accept()
    try:
        while True:
            await client.send_text(await _answer(await client.receive_text()))
    except WebSocketDisconnect:
        return


async def _answer(text: str) -> str:
    action = Action.model_validate_json(text)
    model, function = _ACTIONS[action.data.service, action.data.action]
    arguments = model.model_validate({each.name: each.value for each in action.data.arguments})
    result = Result(result=await function(arguments.text, arguments.interrupt))
    return Answered(id=action.id, data=result).model_dump_json()
