"""Run a library in a helper process: one that may crash, that blocks Python's lock, or that has one state per process.

The plugin starts the process and exchanges frames with it, over its stdin and stdout::

    start = partial(HelperProcess.start, worker_command("rtvi_plugins_acme.worker"))
    helper = SupervisedHelper(start, reply_seconds=10)
    last = await helper.request(SPEAK, b"Hello", replies.append)

A frame is a header and a payload. The header is `struct.Struct(">IBI")`: the length of the payload, a kind (a number
that the plugin chooses), and the id of the request. Every reply has the id of its request, so a reply to a request
that was cancelled is not taken for a reply to the next one. `rtvi_plugins.helper_worker` is for the program.

The process gets no secrets: `rtvi_plugins.security.helper_environment` makes its environment. It has a process group of
its own, so Ctrl-C in a terminal reaches only the server. It should exit when its stdin ends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, Protocol, TypeVar

import anyio
from anyio.abc import Process
from anyio.lowlevel import RunVar

from .helper_worker import CANCEL, DONE, FAILED, HEADER, LONGEST, Frame, encode
from .security import helper_environment

__all__ = ("Frame", "HelperLost", "HelperProcess", "PerEventLoop", "SupervisedHelper")

#: How long a process that is not stuck may take to read a few bytes, in seconds.
_CANCEL_SECONDS: Final = 0.5
#: How long a process may take to exit after its stdin has ended, in seconds. Then it is killed.
_EXIT_SECONDS: Final = 1.0
#: What is raised by reading from or writing to a process that is gone.
_LOSSES: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class HelperLost(Exception):
    """The process did not start, has died, does not read, or sent something that is not a frame."""


class HelperProcess:
    """A running process. One task at a time may use it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        #: The payload of its first reply, READY, if it was waited for.
        self.greeting = b""
        self._last_id = 0
        self._received = bytearray()
        #: Whether everything was sent whole. After a part of a frame, the process could read no other.
        self._pipe_intact = True

    @classmethod
    async def start(
        cls, command: Sequence[str], *, stderr: int | None = None, ready_seconds: float | None = None
    ) -> HelperProcess:
        """Start a process. `stderr` is that of `subprocess.Popen`. Raise `HelperLost` if there is no such program.

        With `ready_seconds`, wait until the process replies READY. Raise `HelperLost` also if that takes longer.
        """
        environ = helper_environment()
        try:
            opened = await anyio.open_process(command, stderr=stderr, start_new_session=True, env=environ)
        except OSError as error:
            raise HelperLost(f"the helper process did not start: {error.strerror}") from error
        process = cls(opened)
        if ready_seconds is not None:
            try:
                with anyio.fail_after(ready_seconds):
                    process.greeting = (await process.receive(0)).payload
            except BaseException as error:
                await process.aclose(kill=True)
                if isinstance(error, TimeoutError):
                    raise HelperLost("the helper process did not become ready") from error
                raise
        return process

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Return whether another request can be sent: the process seems to run, and the pipe is intact."""
        return self._pipe_intact and self._process.returncode is None

    @property
    def exited(self) -> bool:
        """Return whether the process has ended, and was waited for."""
        return self._process.returncode is not None

    def new_request(self) -> int:
        """Return the id for the next request. Ids grow from 1."""
        self._last_id += 1
        return self._last_id

    async def send(self, kind: int, id: int, payload: bytes = b"", *, seconds: float | None = None) -> None:
        """Send a frame. Raise `HelperLost` if the process has died.

        A process that is busy delays this. With `seconds`, the process counts as lost after that time, and a
        cancellation waits until the frame was sent. Without `seconds`, a cancellation may leave half a frame in the
        pipe, and the process is no longer `usable`.
        """
        assert self._process.stdin is not None
        self._pipe_intact = False
        frame = encode(kind, id, payload)
        try:
            if seconds is None:
                await self._process.stdin.send(frame)
            else:
                with anyio.CancelScope(shield=True), anyio.fail_after(seconds):
                    await self._process.stdin.send(frame)
        except _LOSSES as error:  # TimeoutError is an OSError
            raise HelperLost("the helper process was lost") from error
        self._pipe_intact = True

    async def receive(self, id: int) -> Frame:
        """Return the next frame for a request, and drop those for other requests.

        Raise `HelperLost` if the process has died, or has sent something that is not a frame.
        """
        while True:
            frame = self._next_frame()
            if frame is not None and frame.id == id:
                return frame
            if frame is None:
                await self._read()

    def _next_frame(self) -> Frame | None:
        """Return the next frame if all of it has arrived."""
        if len(self._received) < HEADER.size:
            return None
        length, kind, id = HEADER.unpack_from(self._received)
        if length > LONGEST:
            self._pipe_intact = False
            raise HelperLost("the helper process sent something that is not a frame")
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        payload = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        return Frame(kind, id, payload)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            self._received += await self._process.stdout.receive()
        except _LOSSES as error:
            self._pipe_intact = False
            raise HelperLost("the helper process was lost") from error

    async def aclose(self, *, kill: bool = False) -> None:
        """End the process, and wait until it has ended, also if the caller is cancelled.

        It may take a second to exit after its stdin has ended. With `kill` it is killed at once.
        """
        if kill and not self.exited:
            with suppress(ProcessLookupError):
                self._process.kill()
        with anyio.move_on_after(_EXIT_SECONDS, shield=True):
            await self._process.aclose()


# ---- supervising ---------------------------------------------------------------------------------------------------


class SupervisedHelper:
    """A process that is started when it is needed, and replaced when it has died. It has one request at a time.

    `start` starts a process. If it takes more than `reply_seconds` for a request, it is killed.
    """

    def __init__(self, start: Callable[[], Awaitable[HelperProcess]], *, reply_seconds: float) -> None:
        self._start = start
        self._reply_seconds = reply_seconds
        self._turn = anyio.Lock(fast_acquire=True)
        #: The process, if one was started and not lost. It may have died.
        self.process: HelperProcess | None = None

    @property
    def usable(self) -> bool:
        """Return whether a process seems to run."""
        return self.process is not None and self.process.usable

    async def open(self) -> HelperProcess:
        """Return the process; start it if none runs. Raise `HelperLost` if it does not start."""
        if self.process is not None and self.process.usable:
            return self.process  # without waiting while it works for others
        async with self._turn:
            return await self._running()

    async def request(self, kind: int, payload: bytes, on_reply: Callable[[Frame], None]) -> Frame:
        """Send a request when it is its turn. Call `on_reply` with each reply, and return the last: DONE or FAILED.

        A process that died before it began the request is replaced. If it dies during the request, this raises
        `HelperLost`, because the request might kill the next process too. Cancellation cancels the request.
        """
        begun = False

        def note_reply(reply: Frame) -> None:
            nonlocal begun
            begun = True
            on_reply(reply)

        async with self._turn:
            for _ in range(2):
                process = await self._running()
                try:
                    return await self._exchange(process, kind, payload, note_reply)
                except HelperLost:
                    await self.aclose(kill=True)
                    if begun:
                        raise
        raise HelperLost("the helper process was lost twice before it began a request")

    async def _exchange(
        self, process: HelperProcess, kind: int, payload: bytes, on_reply: Callable[[Frame], None]
    ) -> Frame:
        id = process.new_request()
        try:
            await process.send(kind, id, payload, seconds=self._reply_seconds)
            with anyio.fail_after(self._reply_seconds):
                while (reply := await process.receive(id)).kind not in (DONE, FAILED):
                    on_reply(reply)
                return reply
        except anyio.get_cancelled_exc_class():
            with suppress(HelperLost):
                await process.send(CANCEL, id, seconds=_CANCEL_SECONDS)
            raise
        except TimeoutError:
            raise HelperLost("the helper process does not reply") from None

    async def _running(self) -> HelperProcess:
        if not self.usable:
            await self.aclose(kill=True)
            self.process = await self._start()
        assert self.process is not None
        return self.process

    async def aclose(self, *, kill: bool = False) -> None:
        """End the process, if one runs."""
        process, self.process = self.process, None
        if process is not None:
            await process.aclose(kill=kill)


# ---- sharing -------------------------------------------------------------------------------------------------------


class _Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class _Shared(Generic[T]):
    """A resource, and how many use it."""

    def __init__(self, resource: T) -> None:
        self.resource = resource
        self.users = 0


class PerEventLoop(Generic[T]):
    """A resource that all sessions of an event loop share: made for the first user, closed after the last.

    ::

        _pool = PerEventLoop("rtvi_plugins_acme", Pool)

        async with _pool.use() as pool:
            ...
    """

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._make = make
        self._current: RunVar[_Shared[T] | None] = RunVar(name, default=None)

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[T]:
        """Use the resource as long as the block lasts."""
        shared = self._current.get() or _Shared(self._make())
        self._current.set(shared)
        shared.users += 1
        try:
            yield shared.resource
        finally:
            shared.users -= 1
            if not shared.users:
                # Forget it first, so that somebody who asks for it while it closes gets a new one.
                self._current.set(None)
                await shared.resource.aclose()
