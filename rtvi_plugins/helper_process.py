"""Run a library in a helper process: one that may crash, that blocks Python's lock, or that has one state per process.

The plugin starts the process and exchanges frames with it, over its stdin and stdout::

    process = await HelperProcess.start([sys.executable, "-m", "acme_worker"])
    id = process.new_request()
    await process.send(SPEAK, id, b"Hello")
    frame = await process.receive(id)

A frame is a header and a payload. The header is `struct.Struct(">IBI")`: the length of the payload, a kind (a number
that the plugin chooses), and the id of the request. Every reply has the id of its request, so a reply to a request
that was given up is not taken for a reply to the next one.

The process gets no secrets: `rtvi_plugins.security.helper_environment` makes its environment. It has a session of its
own, so Ctrl-C in a terminal reaches the server alone. It should exit when its stdin ends.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import anyio
from anyio.abc import Process
from anyio.lowlevel import RunVar

from .security import helper_environment

__all__ = ("Frame", "HelperLost", "HelperProcess", "PerEventLoop")

_HEADER: Final = struct.Struct(">IBI")
#: The longest payload that is accepted from a process, in bytes.
_LONGEST: Final = 1 << 20
#: How long a process may take to exit after its stdin has ended, in seconds. Then it is killed.
_EXIT_SECONDS: Final = 1.0
#: What is raised by reading from or writing to a process that is gone.
_LOSSES: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class HelperLost(Exception):
    """The process did not start, has died, does not read, or sent something that is not a frame."""


class Frame(NamedTuple):
    """One message to or from a helper process."""

    kind: int
    id: int
    payload: bytes = b""


class HelperProcess:
    """A process that runs. One task at a time may use it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._last_id = 0
        self._received = bytearray()
        #: Whether everything was sent whole. After a part of a frame, the process could read no other.
        self._pipe_intact = True

    @classmethod
    async def start(cls, command: Sequence[str], *, stderr: int | None = None) -> HelperProcess:
        """Start a process. `stderr` is that of `subprocess.Popen`. Raises `HelperLost` if there is no such program."""
        try:
            process = await anyio.open_process(command, stderr=stderr, start_new_session=True, env=helper_environment())
        except OSError as error:
            raise HelperLost(f"the helper process did not start: {error.strerror}") from error
        return cls(process)

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
        """Send a frame. Raises `HelperLost` if the process has died.

        A process that is busy delays this. With `seconds`, it is lost after that time, and cancellation waits until the
        frame was sent. Without, cancellation may leave half a frame in the pipe, and the process is no longer `usable`.
        """
        assert self._process.stdin is not None
        self._pipe_intact = False
        frame = _HEADER.pack(len(payload), kind, id) + payload
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
        """Return the next frame for a request, and drop those for other requests. Raises `HelperLost`."""
        while True:
            frame = self._next_frame()
            if frame is not None and frame.id == id:
                return frame
            if frame is None:
                await self._read()

    def _next_frame(self) -> Frame | None:
        """Return the next frame if all of it has arrived."""
        if len(self._received) < _HEADER.size:
            return None
        length, kind, id = _HEADER.unpack_from(self._received)
        if length > _LONGEST:
            self._pipe_intact = False
            raise HelperLost("the helper process sent something that is not a frame")
        end = _HEADER.size + length
        if len(self._received) < end:
            return None
        payload = bytes(self._received[_HEADER.size : end])
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

        It gets a second to exit after its stdin has ended. With `kill` it gets none.
        """
        if kill and not self.exited:
            with suppress(ProcessLookupError):
                self._process.kill()
        with anyio.move_on_after(_EXIT_SECONDS, shield=True):
            await self._process.aclose()


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
                # Forgotten first, so that a user who comes while it closes gets a new one.
                self._current.set(None)
                await shared.resource.aclose()
