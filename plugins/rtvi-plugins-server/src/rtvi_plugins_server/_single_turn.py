"""Run the actions of one HTTP request in a session that ends with the response.

Published 0.x clients send such a request from `client.action()` while they are disconnected. The response has one of
the two forms that their parser reads: a stream of events, each the base64 text of one RTVI message, or a single message
as JSON.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final, cast
from uuid import uuid4

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from rtvi_plugins.errors import InvalidStart, MessageTooDeep, Problem, RequestError, SessionClosed
from rtvi_plugins.hosting import Connection, Host

from ._middleware import SECRET_HEADER
from .starting import PRIVATE, client_address, read_object

__all__ = ("run_actions",)

_LABEL: Final = "rtvi-ai"
_ID_LENGTH: Final = 256
_JSON, _EVENTS = "application/json", "text/event-stream"
# The statuses of a request that must not start a session at all. Other errors are sent as an `error-response` with
# status 200: published clients do not pass on a response whose status is not 2xx.
_NOT_STARTED: Final = frozenset((401, 403, 413, 421, 429, 503))
# How long a client may take to read the last messages after its session has ended.
_STALLED_SECONDS: Final = 20.0


async def run_actions(request: Request, host: Host, *, body_bytes: int) -> Response:
    """Start a session as `/connect` does, run the request's `actions` in it, and respond with what the bot sends.

    Raise `RequestError` if the request may not start a session, or if its actions cannot be answered.
    """
    body = await read_object(request, body_bytes=body_bytes, host=host) or {}
    actions = _actions(body.pop("actions", None), host.limits.in_flight)
    if body.get("resume") is not None:  # the session would end with this response
        raise InvalidStart(
            [Problem("$.resume", "a session is not resumed for actions; send the token to POST /start.")]
        )
    accepted = request.headers.get("accept", "")
    single = len(actions) == 1 and _EVENTS not in accepted
    try:
        texts = _texts(actions)
        secret, address = request.headers.get(SECRET_HEADER), client_address(request)
        started = await host.start(body, secret=secret, address=address)
    except RequestError as error:
        if error.status in _NOT_STARTED:
            raise
        failed = [_error_response(each["id"], error) for each in actions]
        return JSONResponse(failed[0], headers=PRIVATE) if single else _events(failed)
    return _ActionsResponse(
        host.claim(started.token), actions, texts, single=single, events=not (single and _JSON in accepted)
    )


def _actions(sent: Any, most: int) -> Sequence[dict[str, Any]]:
    """Return the messages in `actions`. Raise `InvalidStart` unless each has an id of its own."""
    if not isinstance(sent, list) or not sent:
        example = '{"actions": [{"label": "rtvi-ai", "type": "action", "id": "1", "data": {…}}]}'
        raise InvalidStart([Problem("$.actions", f"expected an array of messages of type action, as in {example}.")])
    messages = cast("list[dict[str, Any]]", sent)
    if len(messages) > most:
        raise InvalidStart([Problem("$.actions", f"holds {len(messages)} messages; at most {most} are accepted.")])
    problems, ids = list[Problem](), set[str]()
    for index, message in enumerate(messages):
        path = f"$.actions[{index}]"
        if not isinstance(cast("object", message), dict) or message.get("type") != "action":
            problems.append(Problem(path, 'expected a message of "type": "action".'))
        elif not isinstance(id := message.get("id"), str) or not 0 < len(id) <= _ID_LENGTH or id in ids:
            problems.append(Problem(f"{path}.id", f"expected a string of 1 to {_ID_LENGTH} characters, given once."))
        else:
            ids.add(id)
    if problems:
        raise InvalidStart(problems[:25])
    return messages


def _texts(actions: Sequence[dict[str, Any]]) -> Sequence[str]:
    """Return the messages as the session receives them, which checks their levels itself."""
    try:
        return [orjson.dumps(each).decode() for each in actions]
    except orjson.JSONEncodeError:  # it reads more levels than it writes
        raise MessageTooDeep("A message nests deeper than the levels that are accepted.") from None


def _error_response(id: str, error: RequestError) -> dict[str, Any]:
    return {"label": _LABEL, "type": "error-response", "id": id, "data": error.to_json()}


def _event(message: object) -> bytes:
    # The clients' parser decodes each byte to one character, so non-ASCII characters are escaped. It splits a line at
    # its first colon, and an event at an empty line: no other fields, no comments, no CRLF.
    return b"data: " + b64encode(json.dumps(message).encode()) + b"\n\n"


_STREAMED: Final = {**PRIVATE, "x-accel-buffering": "no"}  # so that a proxy does not buffer events


def _events(messages: Sequence[object]) -> Response:
    return Response(b"".join(map(_event, messages)), media_type=_EVENTS, headers=_STREAMED)


class _ActionsResponse(Response):
    """The response to a single-turn request. Its session ends with it, and it ends with its session.

    With `single`, the answer to the only action may be sent alone, as JSON, if there is nothing else to send. With
    `events`, other messages are sent too, as a stream.
    """

    def __init__(
        self,
        connection: Connection,
        actions: Sequence[dict[str, Any]],
        texts: Sequence[str],
        *,
        single: bool,
        events: bool,
    ) -> None:
        # Without Response's constructor, which would set a body and its length.
        self.status_code, self.background, self.media_type = 200, None, _EVENTS
        self.init_headers(_STREAMED)
        self._connection = connection
        self._actions = actions
        self._texts = texts
        self._single = single
        self._events = events
        self._unanswered: dict[object, str] = {each["id"]: each["id"] for each in actions}
        self._taken = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = self._connection
        try:
            async with anyio.create_task_group() as tasks:

                def ended() -> None:
                    tasks.cancel_scope.deadline = anyio.current_time() + _STALLED_SECONDS

                connection.on_end = ended
                tasks.start_soon(self._cancel_on_disconnect, receive, tasks.cancel_scope)
                self._send_messages()
                tasks.start_soon(self._end_session)
                await self._write(scope, receive, send)
                tasks.cancel_scope.cancel()
        finally:
            connection.disconnected()

    def _send_messages(self) -> None:
        """Send the session what a connected 0.x client would send."""
        self._connection.single_turn = True
        ready: dict[str, Any] = {"label": _LABEL, "type": "client-ready", "id": uuid4().hex, "data": {}}
        for text in (orjson.dumps(ready).decode(), *self._texts):
            self._connection.receive(text)

    async def _cancel_on_disconnect(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """Cancel everything when the client disconnects."""
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _end_session(self) -> None:
        """End the session when the actions, and everything that the bot says because of them, are done."""
        connection = self._connection
        while connection.busy:
            await connection.idle()
            if connection.busy:  # a request or a long action, which ends with a message
                await self._taken.wait()
        connection.close(now=True)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        while batch := await self._connection.outgoing():
            for message in map(orjson.loads, (each for each in batch if isinstance(each, str))):
                self._unanswered.pop(message.get("id"), None)
                if message["type"] == "bot-ready":
                    continue  # this client does not expect it
                if not begun and self._is_only_answer(message):
                    return await JSONResponse(message, headers=PRIVATE)(scope, receive, send)
                if self._events:
                    begun = begun or await self._begin(send)
                    await send({"type": "http.response.body", "body": _event(message), "more_body": True})
            self._taken.set()
            self._taken = anyio.Event()
        return await self._finish(scope, receive, send, begun=begun)

    async def _finish(self, scope: Scope, receive: Receive, send: Send, *, begun: bool) -> None:
        """Answer the actions that the session did not run, because an earlier one ended it, and end the stream."""
        ended = SessionClosed("The session has ended.")
        left = [_error_response(id, ended) for id in self._unanswered.values()]
        if left and self._single and not begun:
            return await JSONResponse(left[0], headers=PRIVATE)(scope, receive, send)
        if not begun:
            await self._begin(send)
        return await send({"type": "http.response.body", "body": b"".join(map(_event, left))})

    async def _begin(self, send: Send) -> bool:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        return True

    def _is_only_answer(self, message: dict[str, Any]) -> bool:
        """Return whether a message answers the only action, and nothing else is to be sent."""
        answers = self._single and message.get("id") == self._actions[0]["id"]
        return answers and not (self._events and self._connection.busy)
