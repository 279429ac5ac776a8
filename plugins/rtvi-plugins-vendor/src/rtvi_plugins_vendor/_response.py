"""A response of a vendor over HTTP, which is read as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import httpx2
import orjson
from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio

from .speech import Samples

__all__ = ("VendorResponse",)

#: How long to wait for the end of a response, after which its connection can be used again.
_END_OF_RESPONSE_SECONDS = 0.5
_LONGEST_BODY = 4 * 1024 * 1024

_T = TypeVar("_T")


@define(eq=False)
class VendorResponse:
    """A successful response, to be read once, with one of its methods. You may stop reading anywhere."""

    provider: str
    raw: httpx2.Response = field(repr=False)
    _reader: AsyncIterator[Any] | None = None

    @property
    def is_json(self) -> bool:
        """Whether the body is one JSON value. Some servers answer so although a stream was requested."""
        return self.raw.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"

    def events(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Iterate over the server-sent events. Another type of content is a `ProviderError`.

        The data is empty if the vendor sends only a name, an id, or how long to wait before connecting again.
        """
        self.raw.encoding = "utf-8-sig"  # by their standard, whatever the vendor says; a byte order mark is left out
        return self._read_by(aiter(httpx2.EventSource(self.raw)))

    def json_events(self) -> AsyncIterator[tuple[str, Any]]:
        """Iterate over the names and the JSON values of the server-sent events. The default name is "message".

        The event `[DONE]`, which some vendors send at the end, ends the iteration. Events without data are left out.
        Data that is not JSON is a `ProviderError`.
        """
        return _JSONEvents(self.provider, self.events())

    def lines(self) -> AsyncIterator[str]:
        """Iterate over the lines, without their ends."""
        return self._read_by(self.raw.aiter_lines())

    def audio(self, rate: int, channels: int = 1) -> AsyncIterator[Audio]:
        """Iterate over 16-bit PCM as it arrives, in whole frames of samples. Half a frame at the end is left out.

        JSON and text instead of audio are a `ProviderError`.
        """
        if self.is_json or self.raw.headers.get("content-type", "").startswith("text/"):
            raise ProviderError(self.provider, "unavailable")
        return self._read_by(_audio(self.raw.aiter_bytes(), rate, channels))

    async def read(self, longest: int = _LONGEST_BODY) -> bytes:
        """Return the body, or its start if it is longer than `longest` bytes."""
        body = bytearray()
        async for part in self._read_by(self.raw.aiter_bytes()):
            body += part
            if len(body) >= longest:
                break
        return bytes(body[:longest])

    async def json(self) -> Any:
        """Return the body as JSON. Raise `ProviderError` if it is not valid, or longer than 4 MiB."""
        try:
            return orjson.loads(await self.read())
        except orjson.JSONDecodeError:
            raise ProviderError(self.provider, "unavailable") from None

    async def finish(self) -> None:
        """Read the rest for at most half a second, so that the next request can use the connection.

        Call it once you have all that you need. Leaving without it closes the connection, so the vendor stops.
        """
        with anyio.move_on_after(_END_OF_RESPONSE_SECONDS), suppress(httpx2.HTTPError):
            await self._drain()

    async def aclose(self) -> None:
        """Close the response. Its connection is closed too, unless all of it was read."""
        try:
            # None of it waits for the vendor. Without it, the pool of httpx2 would count the connection forever.
            with anyio.CancelScope(shield=True):
                await self._stop()
                await self.raw.aclose()
        finally:
            # httpx2 leaves its inner iterators to the garbage collector, and trio warns about that. On a closed
            # response they end, and one that would wait is cancelled.
            with anyio.move_on_after(0), suppress(httpx2.HTTPError, httpx2.StreamError):
                await self._drain()

    async def _stop(self) -> None:
        """Close the connection of a response that was not read to its end. What httpx2 does before that takes long."""
        stream = self.raw.extensions.get("network_stream")
        if stream is not None and not self.raw.is_closed:
            await stream.aclose()

    def _read_by(self, reader: AsyncIterator[_T]) -> AsyncIterator[_T]:
        self._reader = reader
        return reader

    async def _drain(self) -> None:
        if self._reader is not None:
            async for _ in self._reader:
                pass


@define(eq=False)
class _JSONEvents(AsyncIterator[tuple[str, Any]]):
    """It is not a generator, because nobody would close that."""

    provider: str
    events: AsyncIterator[httpx2.ServerSentEvent]

    async def __anext__(self) -> tuple[str, Any]:
        while not (event := await anext(self.events)).data:
            pass
        if event.data.strip() == "[DONE]":
            raise StopAsyncIteration
        try:
            return event.event, orjson.loads(event.data)
        except orjson.JSONDecodeError:
            raise ProviderError(self.provider, "unavailable") from None


async def _audio(parts: AsyncIterator[bytes], rate: int, channels: int) -> AsyncGenerator[Audio]:
    samples = Samples(rate, channels)
    async for part in parts:
        for audio in samples.take(part):
            yield audio
