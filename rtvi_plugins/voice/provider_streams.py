"""Read the streams of providers: with a deadline, in batches, with a retry, and closed at the end.

Closing a provider's stream is what makes it drop the connection to its vendor. A `ReplayableStream` can be read several
times: each reader starts at the first item. A `Feed` is the live input of a provider's stream.

The module has more than 300 lines because all streams of all kinds are read, fed and opened again by it.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import CodeType, UnionType
from typing import Any, Final, Generic, TypeVar, cast, get_args

import anyio
import anyio.lowlevel
from attrs import define, evolve, field, fields

from ..clock import Clock, Deadline
from ..errors import ProviderError, report
from ..kinds import Audio, Usage
from ..session import Alternatives
from ..utils.error_texts import unwrap_group
from ..utils.json_values import replace_surrogates
from ..utils.plugin_calls import reraise_control_flow
from ..utils.waiting import Iteration

__all__ = (
    "BATCH",
    "Feed",
    "FormatCheck",
    "InvalidPiece",
    "Patience",
    "ReplayableStream",
    "StreamFailures",
    "as_provider_error",
    "class_of_provider",
    "clean_usage",
    "idle_timeout",
    "let_cancellation_through",
    "named",
    "reading",
    "retried",
)

# ---- feeding -------------------------------------------------------------------------------------------------------

T = TypeVar("T")


class Feed(AsyncIterator[T]):
    """The input of one stream. At most `most` items wait: older ones are dropped. A cancelled `anext` loses nothing."""

    def __init__(self, most: int | None = None) -> None:
        self._items: deque[T] = deque(maxlen=most)
        self._added = anyio.Event()

    def add(self, *items: T) -> None:
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


# ---- opening again -------------------------------------------------------------------------------------------------

#: How long to wait before a stream is opened again, in seconds: the more failures, the longer.
_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 30.0)

#: The longest of them. A vendor that asks to wait longer is asked again then, because until then the bot hears nothing.
_LONGEST_DELAY: Final = _DELAYS[-1]

#: A temporary failure to open a stream again is reported, once, when it has happened this often in a row.
_REPORTED_AFTER: Final = 3


@define(eq=False)
class StreamFailures:
    """How many streams have failed in a row, and whether one of these failures was reported."""

    count: int = 0
    is_reported: bool = False

    def clear(self) -> None:
        """Note that a stream works."""
        self.count, self.is_reported = 0, False

    def delay(self, error: ProviderError | None) -> float:
        """Return how many seconds to wait before a stream is opened again."""
        if error is not None and _lasts(error):
            return _LONGEST_DELAY
        delay = _DELAYS[max(0, min(self.count, len(_DELAYS)) - 1)]
        return max(delay, (error and error.retry_after) or 0.0)

    def is_news(self, error: ProviderError) -> bool:
        """Return whether the user should be told that a stream cannot be opened."""
        return (self.count >= _REPORTED_AFTER and not self.is_reported) or _lasts(error)


def _lasts(error: ProviderError) -> bool:
    """Return whether a failure is not over soon."""
    return not error.retryable or (error.retry_after or 0.0) > _LONGEST_DELAY


# ---- reading -------------------------------------------------------------------------------------------------------

#: How many pieces are taken from a stream before other tasks run, so that what they cause can be sent.
BATCH: Final = 100

#: How often a provider is asked, if its failure is temporary.
_ATTEMPTS: Final = 2

#: The largest count that is sent. The sum of two still has 64 bits.
_LARGEST_COUNT: Final = 2**62

#: How much of a model's name is sent, in characters.
_LONGEST_NAME: Final = 256

log = logging.getLogger("rtvi_plugins")


class InvalidPiece(Exception):
    """A provider's stream yields something that is not a piece, or is not a stream. The text is for its author."""

    def __init__(self, found: object, operation: str, pieces: str) -> None:
        super().__init__(
            f"{operation} yielded {type(found).__name__}, which is not a piece of its stream: yield {pieces}"
        )

    def located(self, stream: object, method: object) -> InvalidPiece:
        """Return the same exception, with the file and line of the function that made the stream."""
        function = getattr(method, "__func__", method)
        code = getattr(stream, "ag_code", getattr(function, "__code__", None))
        if isinstance(code, CodeType):
            self.args = (f"{self} in {code.co_qualname}() ({code.co_filename}:{code.co_firstlineno})",)
        return self


@asynccontextmanager
async def reading(
    method: Callable[[Any], object], request: object, operation: str, pieces: UnionType
) -> AsyncGenerator[AsyncIterator[Any]]:
    """Call a provider's method, and yield an iterator over its stream, which is closed at the end if possible.

    `operation` is its name in errors. Raise `InvalidPiece` if it returns no stream, or yields something that is not one
    of `pieces`.
    """
    stream: Any = method(request)
    classes, taken = get_args(pieces), 0
    *others, last = (f"{piece.__name__}({'…' if fields(piece) else ''})" for piece in classes)
    wanted = f"{', '.join(others)} or {last}"
    if not isinstance(cast(object, stream), AsyncIterator):
        if inspect.iscoroutine(stream):
            stream.close()
        raise InvalidPiece(stream, operation, wanted).located(stream, method)

    async def next_piece() -> object:
        nonlocal taken
        piece: object = await anext(stream)
        taken += 1
        if taken % BATCH == 0:
            await anyio.lowlevel.checkpoint()
        if not isinstance(piece, classes):
            raise InvalidPiece(piece, operation, wanted)
        return piece

    try:
        yield Iteration(next_piece)
    except InvalidPiece as error:
        raise error.located(stream, method) from None
    finally:
        if isinstance(cast(object, stream), AsyncGenerator):
            try:
                await stream.aclose()
            except BaseException as error:  # the pieces that it yielded remain valid
                let_cancellation_through(error)
                report(f"{operation}, while it was closed,", error)


class Patience:
    """How long somebody waits for a stream. Call it for each sign of life."""

    __slots__ = ("_clock", "_deadline", "_longest", "_seconds")

    def __init__(self, clock: Clock, scope: anyio.CancelScope, seconds: float, longest: float) -> None:
        self._clock, self._seconds, self._longest = clock, seconds, longest
        self._deadline = Deadline(clock, scope.cancel)
        self()

    def __call__(self) -> None:
        self._deadline.move(self._clock.now() + self._seconds)

    def wait_for_input(self) -> None:
        """Note that the input has not come yet. Until it does, the silence may be as long as after the first output."""
        self._deadline.move(self._clock.now() + self._longest)

    def begun(self) -> None:
        """Note the first output. From now on, the silence may be longer."""
        self._seconds = self._longest
        self()

    def end(self) -> None:
        self._seconds = self._longest = math.inf  # a provider may read on after its stream was closed
        self._deadline.cancel()


@contextmanager
def idle_timeout(clock: Clock, seconds: float, service: str, first: float | None = None) -> Generator[Patience]:
    """Cancel the block when what is yielded was not called for `seconds`; then raise `ProviderError`.

    `first` holds instead until the first output, if there is another provider to take over.
    """
    scope = anyio.CancelScope()
    patience = Patience(clock, scope, seconds if first is None else first, seconds)
    try:
        with scope:
            yield patience
    finally:
        patience.end()
    if scope.cancelled_caught:
        raise ProviderError(service, "timeout")


async def retried(
    attempt: Callable[[], Awaitable[None]],
    service: str,
    doing: str,
    alternatives: Alternatives,
    *,
    can_retry: Callable[[], bool] = lambda: True,
    before_retry: Callable[[], None] = lambda: None,
) -> None:
    """Make an attempt, and one by each alternative that takes over. Raise `ProviderError` if the last one fails.

    Without alternatives, there is a second attempt after a temporary failure. `can_retry` returns False if the user has
    already received a part of the failed attempt.
    """
    await alternatives.choose()
    left = 0 if alternatives.exist else _ATTEMPTS - 1
    while True:
        try:
            return await attempt()
        except BaseException as error:
            let_cancellation_through(error)
            found = as_provider_error(error, service, doing, alternatives.provider)
            await anyio.lowlevel.checkpoint()  # a provider that fails because it is cancelled has not failed
            if not await alternatives.failed(found, replace=can_retry()):
                if not left or not found.retryable or not can_retry():
                    raise found from None
                left -= 1
        before_retry()


def let_cancellation_through(error: BaseException) -> None:
    """Raise an exception again if it is a cancellation or a Ctrl-C. Any other is the provider's own failure."""
    reraise_control_flow(error, anyio.get_cancelled_exc_class())


def clean_usage(usage: Usage) -> Usage:
    """Return the usage with counts and a name that JSON can carry, whatever the provider reports."""

    def clean(count: int) -> int:
        return min(max(count, 0), _LARGEST_COUNT)

    return evolve(
        usage,
        prompt_tokens=clean(usage.prompt_tokens),
        completion_tokens=clean(usage.completion_tokens),
        characters=clean(usage.characters),
        cached_tokens=clean(usage.cached_tokens),
        reasoning_tokens=clean(usage.reasoning_tokens),
        seconds=float(usage.seconds) if 0 <= usage.seconds <= _LARGEST_COUNT else 0.0,
        model=None if usage.model is None else replace_surrogates(usage.model)[:_LONGEST_NAME],
    )


def class_of_provider(operation: object) -> str:
    """Return the name of the class that a provider's operation belongs to, which is the same in all sessions."""
    live: type[object] = getattr(operation, "__self__", operation).__class__
    return f"{live.__module__}.{live.__qualname__}"


def named(service: str, provider: str | None) -> str:
    """Return how a log names a service: with its provider, if that is known."""
    return service if provider is None else f"{service} ({provider})"


@define(eq=False)
class FormatCheck:
    """Warns once if a service gives audio with half a sample, after which all audio is noise."""

    _has_warned: bool = False

    def __call__(self, audio: Audio, service: str, provider: str | None) -> None:
        if not self._has_warned and audio.channels > 0 and len(audio.data) % (2 * audio.channels):
            self._has_warned = True
            what = "%s yielded a piece of %d bytes of audio, which are not whole 16-bit samples"
            log.warning(what, named(service, provider), len(audio.data))


def as_provider_error(error: BaseException, service: str, doing: str, provider: str | None) -> ProviderError:
    """Return a provider's failure as a `ProviderError`. Any other exception is logged, with the provider's name."""
    found = unwrap_group(error)
    if isinstance(found, ProviderError):
        return found
    if isinstance(found, InvalidPiece):
        log.error("%s: %s", named(service, provider), found)
    else:
        report(f"{named(service, provider)}, while it {doing},", found)
    failed = ProviderError(f"The {service.rpartition(' ')[2]}", "unavailable", retryable=False)
    failed.is_logged = True
    return failed


@define(eq=False)
class ReplayableStream(Generic[T]):
    """The items that have come, and whether more will come. Readers are independent of each other."""

    items: list[T] = field(factory=list[T])
    ended: bool = False
    _changed: anyio.Event | None = None

    def append(self, item: T) -> None:
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
        while not self.ended:
            await self.wait_for_length(len(self.items) + 1)

    def read(
        self,
        on_item: Callable[[T], None] | None = None,
        on_end: Callable[[], None] | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> AsyncIterator[T]:
        """Return an iterator over all items from the first.

        It calls `on_item` with each just before it returns it, `on_end` when there are no more, and `on_wait` when the
        next one has not come yet.
        """
        index = 0

        async def next_item() -> T:
            nonlocal index
            if on_wait is not None and len(self.items) <= index and not self.ended:
                on_wait()
            if not await self.wait_for_length(index + 1):
                if on_end is not None:
                    on_end()
                raise StopAsyncIteration
            item = self.items[index]
            index += 1
            if on_item is not None:
                on_item(item)
            return item

        # Not an async generator: providers leave loops early, and trio complains about a generator that is not closed.
        return Iteration(next_item)
