"""A process with clients on the bare wire, which send requests that fail, cut their sockets, and come back.

    python -m tests.faults.client FOLDER NUMBER SEED FAULTS SESSIONS

It ends after so many faults, when the file `enough` is in the folder, and prints what it has counted as JSON. It writes
the names of effects to two files in the folder: those whose requests were answered without an error, and those whose
requests were refused.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import httpx2
import orjson
import uvloop
from attrs import asdict, define, field
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .requests import KINDS, choose

#: How many requests of a session may wait, as `--limit in_flight` says. Now and then a client sends more.
IN_FLIGHT = 32
#: How many requests a session has before its client leaves.
_LONGEST = 1_500
#: How long a client waits for anything, in seconds. The deadline of a request is 9 s.
_PATIENCE = 60.0
#: Codes of requests that were refused before they were run.
_REFUSED = frozenset({"busy", "rate-limited", "invalid-arguments", "invalid-config", "unknown-message", "not-granted"})


@define
class Tally:
    """What all clients of the process have seen."""

    folder: Path
    number: int
    #: How many faults are still to be sent.
    left: int
    sent: Counter[str] = field(factory=Counter[str])
    answered: Counter[str] = field(factory=Counter[str])
    codes: Counter[str] = field(factory=Counter[str])
    #: What must not happen: each time the session, what, and more about it.
    wrong: list[tuple[str, str, str]] = field(factory=list[tuple[str, str, str]])
    sessions: int = 0
    slowest: float = 0.0

    @property
    def goes_on(self) -> bool:
        """Return whether there were too few faults, or too few replaced server processes."""
        return self.left > 0 or not (self.folder / "enough").exists()

    def fault(self, kind: str) -> None:
        """Count a fault."""
        self.sent[kind] += 1
        self.left -= 1

    def port(self, present: int, rng: random.Random) -> int:
        """Return the port of a server: mostly the one with the session."""
        ports: list[int] = orjson.loads((self.folder / "ports").read_bytes())
        return present if present in ports and rng.random() < 0.85 else rng.choice(ports)


@define
class Sent:
    """A request that was sent, and its answers."""

    kind: str
    name: str
    message: tuple[str, Any]
    at: float
    copies: int = 1
    answers: list[bytes] = field(factory=list[bytes])
    codes: list[str] = field(factory=list[str])


class Ended(Exception):
    """The session has ended."""


@define(eq=False)
class Guest:
    """One session after the other."""

    tally: Tally
    http: httpx2.AsyncClient
    rng: random.Random
    done: TextIO
    refused: TextIO
    socket: Any = None
    token: str = ""
    port: int = 0
    received: int = 0
    ids: int = 0
    may_end: bool = False
    requests: dict[str, Sent] = field(factory=dict[str, Sent])
    waiting: dict[str, None] = field(factory=dict[str, None])
    recent: deque[str] = field(factory=lambda: deque[str](maxlen=60))
    jobs: Counter[str] = field(factory=Counter[str])

    async def run(self) -> None:
        """Hold sessions until there were enough faults."""
        while self.tally.goes_on:
            self.tally.sessions += 1
            self.token, self.ids, self.may_end = "", 0, False
            for each in (self.requests, self.waiting, self.recent, self.jobs):
                each.clear()
            with suppress(Ended):
                await self._session()
            self._check()

    async def _session(self) -> None:
        await self._connect()
        while True:
            try:
                await self._talk()
                await self.socket.close(1000)
                return
            except ConnectionClosed as closed:
                await self._receive_rest()
                if closed.rcvd is not None and closed.rcvd.code == 1012:
                    self.tally.fault("moved to another process")
            await self._connect()

    @property
    def session(self) -> str:
        """Return the id of the session. Its token begins with the id."""
        return self.token.partition(".")[0]

    def _wrong(self, what: str, more: object) -> None:
        self.tally.wrong.append((self.session, what, f"{more}"[:500]))

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Start or resume the session, until the bot is ready."""
        until = _now() + _PATIENCE
        while True:
            if _now() > until:
                self._wrong("sessions that cannot be resumed", self.port)
                raise Ended
            try:
                if await self._try_to_connect():
                    return
            except (OSError, httpx2.TransportError, ConnectionClosed, InvalidHandshake, TimeoutError):
                self.tally.codes["a connection is refused or lost"] += 1
            await asyncio.sleep(self.rng.random() * 0.1)

    async def _try_to_connect(self) -> bool:
        before, self.port = self.port, self.tally.port(self.port, self.rng)
        resumes = bool(self.token)
        body = {"resume": self.token} if resumes else {}
        response = await self.http.post(f"http://127.0.0.1:{self.port}/start", json=body)
        started: Any = orjson.loads(response.content)
        if response.status_code != 200:
            self._refuse(response.status_code, started)
            return False
        url = f"{started['wsUrl']}?token={started['token']}"
        self.socket = await connect(
            url, max_size=None, ping_interval=None, compression=None, max_queue=None, proxy=None
        )
        about = {"waiting": list(self.waiting), "received": self.received} if resumes else {}
        await self._send("ready", "client-ready", {"version": "2.1.0", **about})
        while await self._receive() != "bot-ready":
            pass
        if resumes:
            self.tally.fault("resumed" if before == self.port else "resumed in another process")
        return True

    def _refuse(self, status: int, body: Mapping[str, Any]) -> None:
        """Handle the refusal of a start. An unknown session has ended, which answers all pending requests."""
        code = str(body.get("error"))
        self.tally.codes[f"start: {code}"] += 1
        if code == "unknown-session":
            if not self.may_end:
                self._wrong("sessions lost", self.port)
            for id in list(self.waiting):
                self._answered(id, b"", "session-closed")
            raise Ended
        if status != 503:
            self._wrong("starts refused", f"{status} {code}")
            raise Ended

    async def _receive_rest(self) -> None:
        """Receive what came before the end of the connection."""
        with suppress(ConnectionClosed):
            while True:
                await self._receive()

    def _cut(self) -> None:
        self.tally.fault("socket is cut")
        self.socket.transport.abort()

    # ---- requests --------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        """Send and receive. Return when the session has had its requests. Raise when the connection is lost."""
        rng = self.rng
        while self.ids < _LONGEST and self.tally.goes_on:
            most = IN_FLIGHT if rng.random() < 0.98 else IN_FLIGHT + 10
            for _ in range(rng.randrange(1, 24)):
                if len(self.waiting) < most:
                    await self._ask()
                if self.recent and rng.random() < 0.08:
                    await self._repeat(rng.choice(self.recent))
            if rng.random() < (0.01 if len(self.waiting) <= IN_FLIGHT else 0.3):
                self._cut()
            few = rng.randrange(8, IN_FLIGHT)
            while len(self.waiting) > few:
                await self._receive()
        while self.waiting:
            await self._receive()

    async def _ask(self) -> None:
        self.ids += 1
        kind = choose(self.rng)
        about, id = KINDS[kind], f"r{self.ids}"
        name = f"{self.session}.{id}"
        sent = Sent(kind, name, about.build(self.rng, name), _now())
        if about.is_fault:
            self.tally.fault(kind)
        else:
            self.tally.sent[kind] += 1
        self.may_end = self.may_end or about.is_fatal
        if sent.message[0] != "send-text":  # which is answered only if it is refused
            self.requests[id], self.waiting[id] = sent, None
            self.recent.append(id)
        await self._send(id, *sent.message)

    async def _repeat(self, id: str) -> None:
        """Send an id again, with the same message or with another one, which must not be run."""
        sent = self.requests[id]
        if KINDS[sent.kind].is_refused:
            return
        sent.copies += 1
        if self.rng.random() < 0.5:
            self.tally.fault("duplicate of an answered id" if sent.answers else "duplicate of a pending id")
            return await self._send(id, *sent.message)
        self.tally.fault("duplicate id with another body")
        arguments = [{"name": "name", "value": f"{sent.name}!"}]
        return await self._send(id, "action", {"service": "bot", "action": "work", "arguments": arguments})

    async def _send(self, id: str, type: str, data: Any) -> None:
        message = {"label": "rtvi-ai", "type": type, "id": id, "data": data}
        await self.socket.send(orjson.dumps(message).decode())

    # ---- answers ---------------------------------------------------------------------------------------------------

    async def _receive(self) -> str:
        """Receive the next message, and return its type."""
        try:
            async with asyncio.timeout(_PATIENCE):
                text: bytes = await self.socket.recv(decode=False)
        except TimeoutError:
            for id in self.waiting:
                self._wrong("requests without an answer", f"{id} {self.requests[id]}")
            raise Ended from None
        self.received += 1
        message: Any = orjson.loads(text)
        type, id = message["type"], message.get("id")
        data: Any = message.get("data") or {}
        if type == "bot-ready":
            self.received, self.token = 1, data["about"]["resume"]["token"]
        elif type == "server-message" and data.get("status") in ("done", "failed", "cancelled"):
            self.jobs[data["job"]] += 1
        elif id in self.requests:
            await self._take(id, text, data.get("code", ""))
        return str(type)

    async def _take(self, id: str, text: bytes, code: str) -> None:
        if code != "not-received":
            return self._answered(id, text, code)
        self.tally.sent["sent again, because it was not received"] += 1
        if id not in self.waiting:
            self._wrong("answered requests that were not received", id)
        return await self._send(id, *self.requests[id].message)

    def _answered(self, id: str, text: bytes, code: str) -> None:
        sent = self.requests[id]
        sent.answers.append(text)
        sent.codes.append(code)
        if id in self.waiting:
            del self.waiting[id]
            self.tally.answered[sent.kind] += 1
            self.tally.codes[code or "no error"] += 1
            self.tally.slowest = max(self.tally.slowest, _now() - sent.at)
            if KINDS[sent.kind].has_effect and not code:
                self.done.write(f"{sent.name}\n")

    def _check(self) -> None:
        """Compare what came with what was sent, at the end of a session."""
        for id, sent in self.requests.items():
            final = {text for text, code in zip(sent.answers, sent.codes, strict=True) if code not in _REFUSED}
            if not sent.answers:
                self._wrong("requests without an answer", f"{id} {sent}")
            if len(final) > 1:
                self._wrong("second answers that differ", f"{id} {sent}")
            if len(sent.answers) > sent.copies:
                self._wrong("more answers than messages", f"{id} {sent}")
            if sent.codes and not final and sent.copies == 1:
                self.refused.write(f"{sent.name}\n")
        for job, ends in self.jobs.items():
            if ends > 1:
                self._wrong("jobs that end twice", job)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def main(tally: Tally, seed: int, sessions: int, done: TextIO, refused: TextIO) -> None:
    """Hold sessions at the same time, until there were enough faults."""
    limits = httpx2.Limits(max_connections=sessions, max_keepalive_connections=sessions)
    async with (
        httpx2.AsyncClient(limits=limits, timeout=_PATIENCE, trust_env=False) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for each in range(sessions):
            rng = random.Random(f"{seed} {tally.number} {each}")
            tasks.create_task(Guest(tally, http, rng, done, refused).run())


def run(folder: Path, number: int, seed: int, faults: int, sessions: int) -> None:
    """Run, and print the counts."""
    tally = Tally(folder, number, faults)
    with (folder / f"done-{number}").open("w") as done, (folder / f"refused-{number}").open("w") as refused:
        uvloop.run(main(tally, seed, sessions, done, refused))
    sys.stdout.buffer.write(orjson.dumps(asdict(tally), default=str))


if __name__ == "__main__":
    chosen = sys.argv[1:]
    run(Path(chosen[0]), *map(int, chosen[1:]))
