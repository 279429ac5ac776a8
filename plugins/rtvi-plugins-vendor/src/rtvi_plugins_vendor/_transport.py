"""A network stream that reads and writes a transport of asyncio itself.

The one of httpcore2 is built on anyio's: each read passes several layers, pauses and resumes the transport, and has a
cancel scope for its timeout, and TLS is done in Python. That costs more than reading a message of a vendor.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import httpcore2
from attrs import define, field

__all__ = ("TransportStream", "use_transports")

#: How many bytes may wait to be read before the transport is paused.
_MANY_BYTES = 64 * 1024
#: asyncio, and TLS of uvloop, take 256 KiB of memory for each read. glibc asks the system for such a block each time,
#: which costs more than to read a message, until a larger one was freed: mallopt(3), M_MMAP_THRESHOLD.
_FREED_BLOCK_BYTES = 1024 * 1024
bytes(_FREED_BLOCK_BYTES)
_NAMES = {"ssl_object": "ssl_object", "client_addr": "sockname", "server_addr": "peername", "socket": "socket"}


@define(eq=False)
class _Signal:
    """What one task waits for."""

    _loop: asyncio.AbstractEventLoop
    _future: asyncio.Future[bool] | None = None

    def set(self) -> None:
        self._end(True)

    async def wait(self, timeout: float | None) -> bool:
        """Return whether it was set in time."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._future = future
        timer = None if timeout is None else self._loop.call_later(timeout, self._end, False)
        try:
            return await future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def _end(self, in_time: bool) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(in_time)


@define(eq=False)
class TransportStream(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """A connection. One task may read, and one may write."""

    _transport: Any
    #: The stream of httpcore2 that had the transport before.
    _former: httpcore2.AsyncNetworkStream
    #: The transport of the socket, also beneath TLS. It is what is paused: TLS of uvloop loses data that it holds back
    #: when the vendor closes.
    _socket: Any = field(init=False)
    #: Asking for it is a system call.
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _chunks: deque[bytes] = field(init=False)
    _size: int = field(init=False)
    #: The vendor has ended its side, or the connection is lost.
    _is_over: bool = field(default=False, init=False)
    _is_lost: bool = field(default=False, init=False)
    _is_closed: bool = field(default=False, init=False)
    #: The system does not take more bytes now.
    _is_full: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)
    _readable: _Signal = field(init=False)
    _writable: _Signal = field(init=False)
    #: What takes the bytes as they arrive, and what it has raised.
    _take: Callable[[bytes], object] | None = field(default=None, init=False)
    _raised: Exception | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Take the transport over."""
        self._readable, self._writable = _Signal(self._loop), _Signal(self._loop)
        self._socket = self._transport
        self._chunks = deque[bytes](getattr(self._transport.get_protocol(), "read_queue", ()))  # it has arrived before
        self._size = sum(map(len, self._chunks))
        self._transport.set_protocol(self)
        if self._transport.is_closing():  # nobody tells this protocol
            self.connection_lost(None)
        else:
            self._transport.resume_reading()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, and no bytes at the end."""
        if not self._chunks and not self._is_over and not await self._readable.wait(timeout):
            raise httpcore2.ReadTimeout
        if self._is_closed or (self._error is not None and not self._chunks):
            raise httpcore2.ReadError from self._error
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        if len(data) > max_bytes:
            self._chunks.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._size -= len(data)
        if not self._chunks and not self._socket.is_closing():
            self._socket.resume_reading()
        return data

    async def read_all(self, take: Callable[[bytes], object]) -> None:
        """Call `take` with the bytes as they arrive, until the connection ends or `take` raises.

        It is called by the loop and not in the task that waits here. To wake that for each message costs more than to
        read it.
        """
        while self._chunks:  # they have arrived before
            take(await self.read(_MANY_BYTES))
        if not self._is_over:
            self._take = take
            try:
                await self._readable.wait(None)
            finally:
                self._take = None
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, and return when the system has taken all of it."""
        if self._transport.is_closing():
            raise httpcore2.WriteError from self._error
        self._transport.write(buffer)
        if self._is_full and not await self._writable.wait(timeout):
            raise httpcore2.WriteTimeout
        if self._is_lost:
            raise httpcore2.WriteError from self._error

    @property
    def is_writable(self) -> bool:
        """Whether the system has taken all that was written."""
        return not (self._is_full or self._transport.is_closing())

    def write_now(self, data: bytes) -> None:
        """Write if `is_writable`, without a wait."""
        self._transport.write(data)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function when the tasks that can run now have run."""
        self._loop.call_soon(function)

    async def aclose(self) -> None:
        """Close the connection now."""
        self._is_closed = True
        self._transport.abort()
        await asyncio.sleep(0)  # the loop closes it only then

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> TransportStream:
        """Encrypt what follows."""
        start = self._loop.start_tls
        try:
            with anyio.fail_after(timeout):
                transport = await start(self._transport, self, ssl_context, server_hostname=server_hostname)
        except BaseException as error:
            self._transport.abort()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout from None
            if isinstance(error, OSError):
                raise httpcore2.ConnectError(str(error)) from error
            raise
        if transport is None:
            raise httpcore2.ConnectError("the connection was closed during the handshake of TLS")
        transport.set_write_buffer_limits(1, 0)
        self._transport = transport
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore2 asks for. An idle connection that is readable has ended."""
        if info == "is_readable":  # the loop may not have looked at the socket since
            return bool(self._chunks) or self._is_over or self._former.get_extra_info(info)
        return self._transport.get_extra_info(_NAMES.get(info, info))

    # ---- called by the transport -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._take is not None:
            try:
                self._take(data)
            except Exception as raised:
                self._take, self._raised = None, raised
                self._readable.set()
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _MANY_BYTES and not self._socket.is_closing():
            self._socket.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._is_over = True
        self._readable.set()
        # So that a close frame can still be answered. TLS has no such thing.
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = self._is_lost = True
        self._error = exc
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._writable.set()


@define(eq=False)
class _Backend(httpcore2.AsyncNetworkBackend):
    """Connects as httpcore2 does, with its timeout and all addresses, and takes the transport over."""

    _backend: httpcore2.AsyncNetworkBackend

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        """Return the stream of a connection. On trio, it is another one."""
        stream = await self._backend.connect_tcp(*args, **kwargs)
        transport: Any = getattr(getattr(stream, "_stream", None), "_transport", None)
        return stream if transport is None else TransportStream(transport, stream)

    async def sleep(self, seconds: float) -> None:
        """Wait until the next attempt to connect."""
        await self._backend.sleep(seconds)


def use_transports(client: Any) -> None:
    """Have a client of httpx2 use `TransportStream` on asyncio, also through a proxy.

    httpx2 has no parameter for it. Where its attributes have other names, it connects as it always does.
    """
    for each in (client._transport, *client._mounts.values()):
        pool: Any = getattr(each, "_pool", None)
        if hasattr(pool, "_network_backend"):
            pool._network_backend = _Backend(pool._network_backend)
