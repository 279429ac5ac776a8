"""An async iterator that a loop may leave at any time. An async generator must be closed then, at least on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ("Iteration",)

T = TypeVar("T")


class Iteration(AsyncIterator[T], Generic[T]):
    """Iterate over the results of `take`, which raises `StopAsyncIteration` at the end."""

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[], Awaitable[T]]) -> None:
        self._take = take

    async def __anext__(self) -> T:
        return await self._take()
