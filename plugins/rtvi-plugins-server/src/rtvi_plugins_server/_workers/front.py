"""The front: it accepts connections, hands each to a worker, and replaces workers that end.

A request for `/wK/…` goes to worker K. Any other goes to the worker with the fewest sessions that accepts more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from subprocess import Popen
from typing import Final

from attrs import define, field

from rtvi_plugins.cli import OK
from rtvi_plugins.errors import Draining, ServerFull

from .._refusals import refusal
from .._uvicorn.connections import most_connections
from .control import LONGEST, VARIABLE, Report, write_keys

__all__ = ("Front",)

log = logging.getLogger("rtvi_plugins.server")

#: The path of a request for one worker.
_FOR_ONE: Final = re.compile(rb"[A-Z]+ /w(\d{1,9})/")
#: A resume that another worker has sent to the one with the session. Any other can continue with the session.
_MOVABLE: Final = re.compile(rb"POST \S+\?sent=1 ")
#: How much of a request is read to find its path, in bytes, and how long the client has for it, in seconds.
_PEEKED, _PATIENCE = 256, 5.0
#: How long to wait for the rest of a line, in seconds: a socket with a part of it is always readable.
_AGAIN: Final = 0.05
#: How many connections may wait for their first line; fewer if the process may open fewer files. Of more, the one that
#: has waited longest is closed.
_MOST_WAITING: Final = 1_000
#: The wait before a worker is started again: doubled each time that it ends before it has lived for this long.
_FIRST_WAIT, _LONGEST_WAIT, _LIVES = 0.1, 30.0, 10.0
_TICK: Final = 0.1
#: How long workers may take to end after the second signal, in seconds. Their sessions need less to close.
_ENDING_SECONDS: Final = 20.0
#: A worker that has not reported for this long is stuck. It gets a new session only if all are. In seconds.
_SILENT: Final = 2.0
#: The responses with which the front itself refuses a request.
_STARTING: Final = refusal(ServerFull("The server starts its processes; try again soon."))
_DRAINING: Final = refusal(Draining("The server is shutting down."))


@define(eq=False)
class _Worker:
    """A child process. `retiring` is set once it has been asked to end, and `ended` when it takes nothing any more."""

    key: int
    process: Popen[bytes]
    control: socket.socket
    born: float
    report: Report | None = None
    #: When it has reported last.
    heard: float = 0.0
    #: How many connections it was handed in all.
    handed: int = 0
    retiring: bool = False
    ended: bool = False

    @property
    def takes(self) -> bool:
        return self.report is not None and not self.ended

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() - self.heard > _SILENT

    @property
    def accepts(self) -> bool:
        return self.report is not None and self.report.accepts and not self.retiring and not self.is_stuck

    @property
    def load(self) -> int:
        """How busy it is. A connection counts too: it may become a session, which the next report has."""
        if self.report is None:
            return self.handed
        return self.report.open_sessions + self.report.connections + self.handed - self.report.taken


@define(eq=False)
class Front:
    """The parent of `count` workers. `command` starts one. `ready` gets their announcement, when all are ready."""

    command: Sequence[str]
    count: int
    listener: socket.socket
    ready: Callable[[str], None]
    _workers: dict[int, _Worker] = field(factory=dict[int, _Worker], init=False)
    _next_key: int = field(default=0, init=False)
    _wait: float = field(default=_FIRST_WAIT, init=False)
    _waiting: dict[asyncio.Task[None], None] = field(factory=dict[asyncio.Task[None], None], init=False)
    _most_waiting: float = field(factory=lambda: min(_MOST_WAITING, most_connections()), init=False)
    _announcement: str = field(default="", init=False)
    _announced: bool = field(default=False, init=False)
    #: How many workers are to be started, and when.
    _missing: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)
    _ending: bool = field(default=False, init=False)
    #: When the workers that are left are killed.
    _kill_at: float = field(default=math.inf, init=False)
    _code: int = field(default=OK, init=False)

    def run(self) -> int:
        """Serve until a signal ends all workers. Return the exit code."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._renew)
        self.listener.setblocking(False)
        self._missing = 1  # the others when it is ready: if the bot has a mistake, it is reported once
        accepting = loop.create_task(self._accept())
        while self._workers or (self._missing and not self._ending):
            if self._missing and not self._ending and time.monotonic() >= self._not_before:
                self._spawn()
            if time.monotonic() >= self._kill_at:
                self._kill()
            self._reap()
            await asyncio.sleep(_TICK)
        accepting.cancel()
        for each in self._waiting:
            each.cancel()
        return self._code

    # ---- workers -------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        while self._missing:
            try:
                self._start_worker()
            except OSError as error:  # the machine has no process or no memory left
                if not self._announced:
                    raise
                self._wait = min(2 * self._wait, _LONGEST_WAIT)
                self._not_before = time.monotonic() + self._wait
                log.error("No worker can be started: %s. Trying again in %g s.", error.strerror, self._wait)
                return
            self._missing -= 1

    def _start_worker(self) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        with ExitStack() as stack:
            ours, theirs = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            environ = os.environ | {VARIABLE: f"{key}:{theirs.fileno()}"}
            # In a session of its own: Ctrl-C in a terminal would reach it, and then our signal too.
            process = Popen(self.command, env=environ, pass_fds=[theirs.fileno()], start_new_session=True)
            stack.pop_all()
        theirs.close()
        ours.setblocking(False)
        self._workers[key] = _Worker(key, process, ours, time.monotonic())
        asyncio.get_running_loop().add_reader(ours, self._hear, self._workers[key])

    def _hear(self, worker: _Worker) -> None:
        try:
            data = worker.control.recv(LONGEST)
        except OSError:
            data = b""
        if not data:  # it has ended, or is about to
            asyncio.get_running_loop().remove_reader(worker.control)
            worker.ended = True
            return
        first = worker.report is None
        worker.report, worker.heard = Report.from_bytes(data), time.monotonic()
        self._announcement = worker.report.announcement or self._announcement
        if first and not self._announced and len(self._workers) == 1:
            self._missing = self.count - 1
        if not (self._announced or self._missing) and all(each.report is not None for each in self._workers.values()):
            self._announced = True
            self.ready(self._announcement)
        if first:
            self._retire_one(worker)

    def _retire_one(self, newcomer: _Worker) -> None:
        """Ask an old worker to end, if there are more than are wanted: `newcomer` takes its place."""
        current = [each for each in self._workers.values() if not each.retiring]
        if len(current) > self.count:
            oldest = min(current, key=lambda each: each.key)
            if oldest is not newcomer:
                oldest.retiring = True
                oldest.process.send_signal(signal.SIGTERM)

    def _reap(self) -> None:
        """Forget the workers that have ended. Have others started in their places."""
        for worker in [each for each in self._workers.values() if each.process.poll() is not None]:
            del self._workers[worker.key]
            asyncio.get_running_loop().remove_reader(worker.control)
            worker.control.close()
            if self._ending or worker.retiring:
                continue
            if not self._announced:  # it cannot be loaded; it has said why
                self._code = worker.process.returncode or 1
                self._end()
                continue
            lived = time.monotonic() - worker.born
            self._wait = _FIRST_WAIT if lived > _LIVES else min(2 * self._wait, _LONGEST_WAIT)
            log.warning("Worker %s has ended (%s). Starting another.", worker.key, worker.process.returncode)
            self._missing, self._not_before = self._missing + 1, time.monotonic() + self._wait

    def _renew(self) -> None:
        """Start as many new workers as there are old ones. Each that is ready retires an old one, which drains."""
        if not self._ending and self._announced:
            log.info("Starting new workers. The old ones continue until their sessions have ended.")
            self._missing, self._not_before = self.count, 0.0

    def _end(self) -> None:
        """Ask all workers to end: at the first signal when their sessions have ended, at the second at once."""
        second, self._ending = self._ending, True
        if second:
            self._kill_at = min(self._kill_at, time.monotonic() + _ENDING_SECONDS)
        for each in self._workers.values():
            # One that retires has had its first signal. A second one would end its sessions.
            if each.process.poll() is None and (second or not each.retiring):
                each.process.send_signal(signal.SIGTERM)
            each.retiring = True

    def _kill(self) -> None:
        """Kill the workers that are left: they are stuck, and do not handle signals."""
        self._kill_at = math.inf
        for each in self._workers.values():
            if each.process.poll() is None:
                log.error("Worker %s does not end. Killing it.", each.key)
                each.process.kill()

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self.listener)
            except OSError:  # no descriptor is left, or the client has already disconnected
                await asyncio.sleep(_AGAIN)
                continue
            if len(self._waiting) >= self._most_waiting:
                await asyncio.sleep(0)  # let the tasks run that close connections: accepting may not have waited
            if len(self._waiting) >= self._most_waiting:
                longest = next(iter(self._waiting))
                del self._waiting[longest]
                longest.cancel()
            task = loop.create_task(self._hand_over(accepted))
            self._waiting[task] = None
            task.add_done_callback(lambda done: self._waiting.pop(done, None))

    async def _hand_over(self, accepted: socket.socket) -> None:
        with accepted:
            try:
                async with asyncio.timeout(_PATIENCE):
                    line = await _first_line(accepted)
            except (OSError, TimeoutError):
                return
            while line and (worker := self._choose(line)) is not None:
                try:
                    keys = write_keys(each.key for each in self._workers.values() if each.takes)
                    socket.send_fds(worker.control, [keys], [accepted.fileno()])
                except BlockingIOError:  # the worker takes no connection now; the client tries again
                    return
                except OSError:  # the worker has just ended
                    worker.ended = True
                    continue
                worker.handed += 1
                return
            with suppress(OSError):  # the client has disconnected
                if line:
                    accepted.send(_DRAINING if self._ending else _STARTING)
                    accepted.shutdown(socket.SHUT_WR)

    def _choose(self, line: bytes) -> _Worker | None:
        """Return the worker for a request; None if there is none yet, or for a start if all are about to end."""
        named = _FOR_ONE.match(line)
        worker = self._workers.get(int(named[1])) if named else None
        if worker is not None and worker.takes and not (worker.is_stuck and _MOVABLE.match(line)):
            return worker
        able = [each for each in self._workers.values() if each.takes]
        if self._ending:  # the one with most sessions continues longest; none starts another
            best = max(able, key=lambda each: (not each.is_stuck, each.load), default=None)
            return best if line.startswith(b"GET ") else None
        accepting = [each for each in able if each.accepts]
        return min(accepting or able, key=lambda each: each.load, default=None)


async def _first_line(accepted: socket.socket) -> bytes:
    """Return the beginning of what a client sends, without taking it. Empty if the client has disconnected."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(accepted, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(accepted)
    while True:
        peeked = accepted.recv(_PEEKED, socket.MSG_PEEK)
        if not peeked or b"\n" in peeked or len(peeked) == _PEEKED:
            return peeked
        await asyncio.sleep(_AGAIN)
