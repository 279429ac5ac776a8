"""A list that grows until it ends, and is read while it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import anyio
from attrs import define, field

__all__ = ("Growing",)

T = TypeVar("T")


@define(eq=False)
class Growing(Generic[T]):
    """Items so far, and whether there will be more. It can be read as often as need be, each time from the first."""

    items: list[T] = field(factory=list[T])
    ended: bool = False
    _more: anyio.Event | None = None

    def add(self, item: T) -> None:
        """One more."""
        self.items.append(item)
        self._wake()

    def end(self) -> None:
        """That was the last."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            self._more.set()
            self._more = None

    async def reaches(self, number: int) -> bool:
        """Wait until there are as many items; False if there never will be."""
        while len(self.items) < number and not self.ended:
            self._more = self._more or anyio.Event()
            await self._more.wait()
        return len(self.items) >= number

    async def over(self) -> None:
        """Wait until there will be no more."""
        while not self.ended:
            await self.reaches(len(self.items) + 1)

    def read(self, taken: Callable[[T], None] | None = None) -> AsyncIterator[T]:
        """All items, waiting for those to come; `taken` is told of each just before it is given."""
        return _Reader(self, taken)


class _Reader(AsyncIterator[T]):
    """Not an async generator, which a reader that leaves it early would have to close."""

    def __init__(self, growing: Growing[T], taken: Callable[[T], None] | None) -> None:
        self._growing = growing
        self._taken = taken
        self._at = 0

    async def __anext__(self) -> T:
        if not await self._growing.reaches(self._at + 1):
            raise StopAsyncIteration
        item = self._growing.items[self._at]
        self._at += 1
        if self._taken is not None:
            self._taken(item)
        return item
