"""Read what a provider streams, and close the stream at the end: that is what drops the vendor's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import CodeType
from typing import Any, Final

import anyio
from attrs import evolve

from ..clock import Clock
from ..errors import ProviderError, innermost, report
from ..kinds import Usage
from ..utils.control_flow import reraise_control_flow
from ..utils.json_values import replace_surrogates

__all__ = ("AT_ONCE", "NoPiece", "closed_after", "failure", "let_pass", "patience", "sendable_usage")

#: How many pieces that are there already are taken without letting others go on, so that what they make can be sent.
AT_ONCE: Final = 100
#: The largest count that is sent. The sum of two still has 64 bits.
_MOST_COUNTED: Final = 2**62
#: How much is sent of a model's name, in characters.
_LONGEST_NAME: Final = 256

log = logging.getLogger("rtvi_plugins")


class NoPiece(Exception):
    """A provider's mistake: an operation gives something else than pieces. The sentence is for its author."""

    def __init__(self, found: object, operation: str, pieces: str) -> None:
        super().__init__(f"{operation} gave {type(found).__name__}, which is no piece of its stream: yield {pieces}")

    def of(self, stream: object) -> NoPiece:
        """The same, with the place of the provider's function that has made the stream."""
        code = getattr(stream, "ag_code", None)
        if isinstance(code, CodeType):
            self.args = (f"{self} in {code.co_qualname}() ({code.co_filename}:{code.co_firstlineno})",)
        return self


@asynccontextmanager
async def closed_after(pieces: Any, operation: str, kinds: str) -> AsyncGenerator[AsyncIterator[Any]]:
    """A stream of pieces that is closed at the end, where it can be. `NoPiece` if it is no stream at all."""
    stream: object = pieces
    if not isinstance(pieces, AsyncIterator):
        if inspect.iscoroutine(pieces):
            pieces.close()
        raise NoPiece(pieces, operation, kinds)
    try:
        yield pieces
    except NoPiece as error:
        raise error.of(stream) from None
    finally:
        if isinstance(pieces, AsyncGenerator):
            try:
                await pieces.aclose()
            except BaseException as error:  # the pieces that it yielded remain valid
                let_pass(error)
                report(f"{operation}, while it was closed,", error)


@contextmanager
def patience(clock: Clock, seconds: float, service: str) -> Generator[Callable[[], None]]:
    """Wait for a provider no longer than this between two calls of what is given; `ProviderError` when it took longer.

    One timer is enough for a stream of any length.
    """
    scope, heard, done = anyio.CancelScope(), clock.now(), False

    def touch() -> None:
        nonlocal heard
        heard = clock.now()

    def look() -> None:
        if clock.now() >= heard + seconds:
            scope.cancel()
        elif not done:
            clock.call_at(heard + seconds, look)

    timer = clock.call_at(heard + seconds, look)
    try:
        with scope:
            yield touch
    finally:
        done = True
        timer.cancel()
    if scope.cancelled_caught:
        raise ProviderError(service, "timeout")


def let_pass(error: BaseException) -> None:
    """Raise an exception again if it is a cancellation, or a Ctrl-C: everything else is the provider's own failure."""
    reraise_control_flow(error, anyio.get_cancelled_exc_class())


def sendable_usage(usage: Usage) -> Usage:
    """Return a usage that JSON can carry, whatever a provider says."""

    def sendable(count: int) -> int:
        return min(max(count, 0), _MOST_COUNTED)

    return evolve(
        usage,
        prompt_tokens=sendable(usage.prompt_tokens),
        completion_tokens=sendable(usage.completion_tokens),
        characters=sendable(usage.characters),
        model=None if usage.model is None else replace_surrogates(usage.model)[:_LONGEST_NAME],
    )


def failure(error: BaseException, service: str, doing: str) -> ProviderError:
    """What a provider's failure is to the conversation. One that raises something of its own is reported."""
    found = innermost(error)
    if isinstance(found, ProviderError):
        return found
    if isinstance(found, NoPiece):
        log.error("%s", found)
    report(f"{service}, while it {doing},", found)
    return ProviderError(f"The {service.rpartition(' ')[2]}", "unavailable", retryable=False)
