"""Fake vendors for the rules for providers: they answer and fail as `rtvi_plugins.testing.SCRIPTS` say.

Over HTTP, a vendor has its answer in parts; over a WebSocket, `SocketVendor` has a function that talks.

::

    def acme_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
        return scripted_vendor("/v1/chat", [FIRST_EVENT, OTHER_EVENTS], refuse=refusal, base="/v1")

    await check_providers(acme, vendor=acme_vendor)
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeAlias, overload

import anyio
import orjson
from attrs import define, field

from .testing import Answer, FakeRequest, FakeSocket, FakeVendor, fake_vendor

__all__ = ("EVENT_STREAM", "ScriptedVendor", "SocketVendor", "scripted_vendor", "timeout_for")

#: The headers of server-sent events.
EVENT_STREAM: Mapping[str, str] = {"content-type": "text/event-stream"}
#: The shortest timeout, in seconds.
_TIMEOUT = 0.4
_REFUSALS = (401, 402, 429, 400, 500)
#: The fake has a task for each open connection. The kit would count it as one that the provider left behind.
_LAST = {"connection": "close"}


#: Returns what is sent in place of a message.
Change: TypeAlias = Callable[[Any], Any]
#: An object as JSON, as a line of its own or in a server-sent event.
_LINE = re.compile(rb"((?:data: ?)?)(\{.*\})(\s*)")


@define(eq=False)
class _Changes:
    """Changes messages just before they are sent."""

    change: Change | None = None

    def of_message(self, message: Any) -> Any:
        """Return what is sent in place of a message. Only an object is changed, also if it is given as JSON."""
        if self.change is None:
            return message
        try:
            found: object = orjson.loads(message if isinstance(message, bytes | str) else orjson.dumps(message))
        except orjson.JSONDecodeError:
            return message
        if not isinstance(found, dict):
            return message
        changed = orjson.dumps(self.change(found))
        return changed if isinstance(message, bytes) else changed.decode()

    def of_part(self, part: bytes) -> bytes:
        """Return what is sent in place of a part of a body. Each line of it may be a message."""
        if self.change is None:
            return part
        return b"".join(map(self._of_line, part.splitlines(keepends=True)))

    def _of_line(self, line: bytes) -> bytes:
        found = _LINE.fullmatch(line)
        return found[1] + self.of_message(found[2]) + found[3] if found else line


@define(eq=False)
class _ChangedParts(Sequence[bytes]):
    """The parts of a body, each changed when it is read."""

    parts: Sequence[bytes]
    changes: _Changes

    def __len__(self) -> int:
        return len(self.parts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        found = self.parts[index]
        return self.changes.of_part(found) if isinstance(found, bytes) else _ChangedParts(found, self.changes)


@define(eq=False)
class ScriptedVendor:
    """A fake vendor that follows one script. It has the members that `check_providers` needs."""

    vendor: FakeVendor
    service_options: Mapping[str, Any]
    end_event: bool
    _path: str
    _answers: Mapping[str, Answer] = field(repr=False)
    _timeout: float
    _changes: _Changes

    def script(self, *names: str) -> None:
        """Follow these scripts, one for each request from now on. The last one stays."""
        self.service_options = {**self.service_options, "timeout": timeout_for(self._timeout, *names)}
        self.vendor.on(self._path, *(self._answers[each] for each in names))

    async def wait_until_left(self) -> None:
        """Return when the client has left the last request."""
        await self.vendor.requests[-1].outcome()

    def change_messages(self, change: Change, /) -> None:
        """Let a function change each JSON object of the answer: the data of an event, or a line of another body."""
        self._changes.change = change


@asynccontextmanager
async def scripted_vendor(
    path: str,
    parts: Sequence[bytes],
    *,
    refuse: Callable[[int, FakeRequest], object],
    headers: Mapping[str, str] = EVENT_STREAM,
    malformed: bytes | Answer = b"data: no JSON\n\n",
    base: str = "",
    timeout: float = _TIMEOUT,
    end_event: bool = True,
) -> AsyncGenerator[ScriptedVendor]:
    """Run a vendor that answers at `path` with `parts`.

    - `parts`: the answer. The first part must contain the first piece, and not the whole answer.
    - `refuse`: returns the JSON of a refusal from its status. Quote the key of the request in it, as vendors do.
    - `headers`: the headers of the answer. `malformed` is its body in the script of this name, or another answer.
    - `base`: the service option `base_url` is the URL of the vendor and `base`.
    - `timeout`: the service option `timeout` in seconds, for the scripts "silent" and "hang". For all others it is ten
      times as long, because a busy machine delays their failures.
    - `end_event`: whether the API marks the end of an answer, as `data: [DONE]` does. Plain audio has no such mark.
    """
    async with fake_vendor() as vendor:
        headers, changes = {**headers, **_LAST}, _Changes()
        answers = {
            "answer": Answer(parts=_ChangedParts(parts, changes), headers=headers),
            "cut": Answer(parts=parts[:1], headers=headers, end="cut"),
            "unfinished": Answer(parts=parts[:1], headers=headers),
            "malformed": malformed if isinstance(malformed, Answer) else Answer(parts=[malformed], headers=headers),
            "silent": Answer(wait=math.inf),
            "hang": Answer(parts=parts[:1], headers=headers, end="hang"),
            **{str(status): _refusal(status, refuse) for status in _REFUSALS},
        }
        scripted = ScriptedVendor(vendor, {"base_url": vendor.url + base}, end_event, path, answers, timeout, changes)
        scripted.script("answer")
        yield scripted


def timeout_for(shortest: float, *scripts: str) -> float:
    """Return the service option `timeout` for these scripts, in seconds, as `scripted_vendor` describes it."""
    return shortest if {"silent", "hang"} & {*scripts} else 10 * shortest


def _refusal(status: int, refuse: Callable[[int, FakeRequest], object]) -> Answer:
    headers = {"retry-after": "7"} if status == 429 else {}
    return Answer(status, json=lambda request: refuse(status, request), headers={**headers, **_LAST})


# ---- over a WebSocket ------------------------------------------------------------------------------------------------


def _never(message: Any) -> bool:
    return False


def _quote(status: int, request: FakeRequest) -> object:
    return {"status": status, "headers": request.headers}


@define(eq=False)
class SocketVendor:
    """A fake vendor that knows all scripts of `rtvi_plugins.testing.SCRIPTS`.

    - `path`: where it answers.
    - `talk`: the vendor's side of a good conversation.
    - `is_piece`: whether a message of `talk` is a piece of the answer, from which a provider makes a piece of its own.
    - `is_goodbye`: whether a message of the client stops the answer. By default, only the end of the connection does.
    - `end_event`: whether the API marks the end of an answer with a message of its own.
    """

    vendor: FakeVendor
    path: str
    talk: Callable[[FakeSocket], Awaitable[None]]
    is_piece: Callable[[Any], bool]
    is_goodbye: Callable[[Any], bool] = _never
    end_event: bool = True
    service_options: Mapping[str, Any] = field(init=False)
    left: anyio.Event = field(factory=anyio.Event, init=False)
    changes: _Changes = field(factory=_Changes, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Answer as `talk` does until a script is chosen."""
        self.script("answer")

    def script(self, name: str, /) -> None:
        """Follow a script for all connections from now on."""
        self.service_options = {"base_url": self.vendor.url, "timeout": timeout_for(_TIMEOUT, name)}
        if name.isdigit():
            self.vendor.on(self.path, _refusal(int(name), _quote))
        else:
            self.vendor.on(self.path, lambda socket: self.talk(_Faulty.of(socket, self, name)))

    async def wait_until_left(self) -> None:
        """Return when a client has left the script "hang"."""
        await self.left.wait()

    def change_messages(self, change: Change, /) -> None:
        """Let a function change each JSON object that `talk` sends, from now on."""
        self.changes.change = change


@define(eq=False)
class _Faulty(FakeSocket):
    """A socket whose messages are changed, or that fails at the first piece of the answer."""

    owner: SocketVendor | None = None
    fault: str = ""
    _pieces: int = 0

    @classmethod
    def of(cls, socket: FakeSocket, owner: SocketVendor, fault: str) -> Self:
        """Return the same socket with a fault."""
        return cls(socket.request, socket._stream, socket._connection, owner=owner, fault=fault)

    async def send(self, message: bytes | str | Mapping[str, Any]) -> None:
        assert self.owner is not None
        if self.fault == "answer":
            await super().send(self.owner.changes.of_message(message))
            return
        if self.fault == "silent" or (self.fault == "hang" and self._pieces):
            return
        if not self.owner.is_piece(message):
            await super().send(message)
            return
        self._pieces += 1
        if self.fault == "malformed":
            await super().send('{"half of')
        elif self.fault in ("cut", "hang", "unfinished") and self._pieces == 1:
            await super().send(message)
        if self.fault == "cut":
            await self.cut()
        if self.fault == "unfinished" and self._pieces == 1:
            await super().close()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.fault in ("silent", "hang"):
            async for _ in self:  # until the client leaves
                pass
        await super().close(code, reason)

    async def __anext__(self) -> Any:
        assert self.owner is not None
        try:
            message = await super().__anext__()
        except StopAsyncIteration:
            self.owner.left.set()
            raise
        if self.owner.is_goodbye(message):
            self.owner.left.set()
        return message
