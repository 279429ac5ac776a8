"""The live input of a provider's stream: items wait until the provider reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar

import anyio

__all__ = ("Feed",)

T = TypeVar("T")


class Feed(AsyncIterator[T]):
    """The input of one stream. At most `most` items wait: older ones are dropped. A cancelled `anext` loses nothing."""

    def __init__(self, most: int | None = None) -> None:
        self._items: deque[T] = deque(maxlen=most)
        self._added = anyio.Event()

    def add(self, *items: T) -> None:
        """Add input for the provider."""
        self._items.extend(items)
        self._added.set()

    def __len__(self) -> int:
        """Return how many items the provider has not read."""
        return len(self._items)

    async def __anext__(self) -> T:
        while not self._items:
            self._added = anyio.Event()
            await self._added.wait()
        return self._items.popleft()
