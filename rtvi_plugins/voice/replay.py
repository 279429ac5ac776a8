"""A replayable stream: an append-only stream of which each reader starts at the first item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import anyio
from attrs import define, field

__all__ = ("ReplayableStream",)

T = TypeVar("T")


@define(eq=False)
class ReplayableStream(Generic[T]):
    """The items so far, and whether more will come. Readers are independent of each other."""

    items: list[T] = field(factory=list[T])
    ended: bool = False
    _changed: anyio.Event | None = None

    def append(self, item: T) -> None:
        """Add an item and wake the readers."""
        self.items.append(item)
        self._wake()

    def end(self) -> None:
        """Close the stream: no item follows."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def wait_for_length(self, length: int) -> bool:
        """Wait until there are `length` items. Return False if the stream ends before."""
        while len(self.items) < length and not self.ended:
            self._changed = self._changed or anyio.Event()
            await self._changed.wait()
        return len(self.items) >= length

    async def wait_for_end(self) -> None:
        """Wait until the stream has ended."""
        while not self.ended:
            await self.wait_for_length(len(self.items) + 1)

    def read(self, on_item: Callable[[T], None] | None = None) -> AsyncIterator[T]:
        """Return an iterator over all items from the first. It calls `on_item` with each just before it returns it."""
        return _Reader(self, on_item)


class _Reader(AsyncIterator[T]):
    """Not an async generator: providers leave loops early, and trio complains about a generator that is not closed."""

    def __init__(self, stream: ReplayableStream[T], on_item: Callable[[T], None] | None) -> None:
        self._stream = stream
        self._on_item = on_item
        self._index = 0

    async def __anext__(self) -> T:
        if not await self._stream.wait_for_length(self._index + 1):
            raise StopAsyncIteration
        item = self._stream.items[self._index]
        self._index += 1
        if self._on_item is not None:
            self._on_item(item)
        return item
