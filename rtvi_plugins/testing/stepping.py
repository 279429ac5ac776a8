"""Run a coroutine step by step, on asyncio and trio alike: count its awaits, and cancel it at one of them.

Async generators that were left to the garbage collector are found.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, Generic, TypeVar

import anyio
from attrs import define

__all__ = ("Cancelled", "Stepped", "cancel_at", "close", "count_awaits", "unclosed_generators")


@contextmanager
def unclosed_generators(folder: Path) -> Generator[list[str]]:
    """Yield a list of the async generator functions in a folder that the block starts, and neither finishes nor closes.

    Use it while the event loop runs. The list names each function with its file and line.
    """
    found: list[str] = []
    before = sys.get_asyncgen_hooks()

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        with warnings.catch_warnings():
            if (function := _function_of(generator, folder)) is not None:
                found.append(function)
                warnings.simplefilter("ignore", ResourceWarning)  # trio warns, and the check reports it
            if before.finalizer is not None:
                before.finalizer(generator)

    sys.set_asyncgen_hooks(firstiter=before.firstiter, finalizer=finalize)
    try:
        yield found
    finally:
        sys.set_asyncgen_hooks(*before)


def _function_of(generator: object, folder: Path) -> str | None:
    """Return the function that made a generator, if its file is in a folder."""
    code = getattr(generator, "ag_code", None)
    if not isinstance(code, CodeType) or not Path(code.co_filename).is_relative_to(folder):
        return None
    return f"{code.co_qualname}() ({code.co_filename}:{code.co_firstlineno})"


T = TypeVar("T")


class Stepped(Awaitable[T], Generic[T]):
    """A coroutine. It calls `on_wait` each time just before it waits, and `on_throw` when an exception ends a wait."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], on_wait: Callable[[], None], on_throw: Callable[[], None]
    ) -> None:
        self._coroutine = coroutine
        self._on_wait = on_wait
        self._on_throw = on_throw

    def __await__(self) -> Generator[Any, Any, T]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                waits_for = self._coroutine.send(sent) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as end:
                result: T = end.value
                return result
            self._on_wait()
            sent = thrown = None
            try:
                sent = yield waits_for
                if getattr(sent, "error", None) is not None:  # trio sends an outcome
                    self._on_throw()
            except BaseException as error:  # the event loop throws into the coroutine
                self._on_throw()
                thrown = error


@define
class Cancelled:
    """What a stream did when it was cancelled. `reached` is False if it ended before the await in question."""

    reached: bool = False
    pieces_after: int = 0
    seconds: float = 0.0


async def count_awaits(make: Callable[[], AsyncIterator[Any]], limit: int) -> int:
    """Return how often a stream waits until it ends, and stop at the limit."""
    count = 0

    def on_wait() -> None:
        nonlocal count
        count += 1
        if count == limit:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await Stepped(_consume(make(), lambda: None), on_wait, lambda: None)
    return count


async def cancel_at(make: Callable[[], AsyncIterator[Any]], number: int) -> Cancelled:
    """Read a stream and cancel it at its await with this number, the first being 1. Raise what the stream raises."""
    count, outcome = 0, Cancelled()
    cancelled_at, delivered = 0.0, False

    def on_wait() -> None:
        nonlocal count, cancelled_at
        count += 1
        if count == number:
            outcome.reached, cancelled_at = True, anyio.current_time()
            scope.cancel()

    def on_throw() -> None:
        # Some awaits are shielded, so the cancellation comes only at a later one.
        nonlocal delivered
        delivered = outcome.reached

    def on_piece() -> None:
        outcome.pieces_after += delivered

    with anyio.CancelScope() as scope:
        await Stepped(_consume(make(), on_piece), on_wait, on_throw)
    if outcome.reached:
        outcome.seconds = anyio.current_time() - cancelled_at
    return outcome


async def _consume(stream: AsyncIterator[Any], on_piece: Callable[[], None]) -> None:
    try:
        async for _ in stream:
            on_piece()
    finally:
        await close(stream)


async def close(stream: AsyncIterator[Any]) -> None:
    """Close a stream. Only an iterator that is a generator, or like one, can be closed."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()
