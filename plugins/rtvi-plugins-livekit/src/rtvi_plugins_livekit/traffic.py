"""The HTTP session that LiveKit's plugins get. It notes what LiveKit does not report."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any

from attrs import define

__all__ = ("Traffic", "open_session")


@define(eq=False)
class Traffic:
    """What went over a session. Plugins with a client of their own leave it empty."""

    #: How often somebody waited for a message of a WebSocket, and how many came.
    reads: int = 0
    messages: int = 0
    #: The seconds of the last header `retry-after`.
    retry_after: float | None = None

    async def on_response(self, session: object, context: object, ended: Any) -> None:
        """Note a response. aiohttp calls this."""
        self.retry_after = None
        with suppress(ValueError, TypeError):
            self.retry_after = float(ended.response.headers.get("retry-after"))


@asynccontextmanager
async def open_session(traffic: Traffic) -> AsyncGenerator[Any]:
    """Yield a session of aiohttp, which LiveKit needs."""
    aiohttp: Any = import_module("aiohttp")
    read: Callable[..., Coroutine[Any, Any, Any]] = aiohttp.ClientWebSocketResponse.receive

    class Socket(aiohttp.ClientWebSocketResponse):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
        async def receive(self, *args: Any, **keywords: Any) -> Any:
            traffic.reads += 1
            message = await read(self, *args, **keywords)
            traffic.messages += message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
            return message

    traces = aiohttp.TraceConfig()
    traces.on_request_end.append(traffic.on_response)
    async with aiohttp.ClientSession(trace_configs=[traces], ws_response_class=Socket) as session:
        yield session
