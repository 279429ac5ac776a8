"""Read the stream of an operation in the ways in which a conversation does: whole, left early, and cancelled."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import anyio.lowlevel
from attrs import define

from ..declare.specs import ProviderSpec
from ..kinds import Audio, TTSRequest
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import unwrap_group
from .operations import OPERATIONS, SENTENCES, Operation, frame, problems_of_audio, problems_of_order, text_of
from .stepping import cancel_at, close, count_awaits
from .visible import error_shows_key, shows_key

__all__ = ("Found", "StreamCheck", "describe_failure", "first_piece", "spread")

Found = Callable[[str, str], None]

#: How long to wait for what should come at once, in seconds.
_PATIENCE: Final = 5.0
#: How long a stream may go on after it was cancelled, in seconds.
_CANCEL_SECONDS: Final = 1.0
#: How many awaits are cancelled, and how long that may take in all, in seconds.
_CANCELLED: Final = 24
_BUDGET_SECONDS: Final = 3.0
_MOST_AWAITS: Final = 2_000
#: After how many pieces a stream is closed.
_CLOSED_AFTER: Final = (0, 1, 2, 5)


def describe_failure(error: BaseException) -> str:
    """Return what a provider raised, without its text, which may hold anything."""
    return f"it raises {type(unwrap_group(error)).__name__}"


def spread(count: int, most: int) -> list[int]:
    """Return numbers from 1 to count: the first, the last, and others at equal distances, at most `most`."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(each * (count - 1) / (most - 1)) for each in range(most)})


@define
class StreamCheck:
    """The check of one live service's operation."""

    live: Any
    spec: ProviderSpec
    found: Found

    async def run(self) -> None:
        """Call the operation in every way. A provider of a kind without a known operation is left alone."""
        if self.spec.kind == "vad":
            await self._detect()
        operation = OPERATIONS.get(self.spec.kind)
        if operation is None:
            return
        pieces = await self._read_plain(operation)
        if pieces is None:
            return
        if self.spec.kind == "tts":
            await self._speak(operation, pieces)
        await self._close_early(operation)
        await self._cancel(operation)

    async def _detect(self) -> None:
        for number in range(10):
            try:
                probability: object = self.live.speech_probability(frame(number))
            except Exception as error:
                self.found("P202", describe_failure(error))
                return
            if inspect.iscoroutine(probability):
                probability.close()
            if not isinstance(probability, float | int) or not 0 <= probability <= 1:
                self.found("P202", f"speech_probability() returns {type(probability).__name__}, not a number 0 to 1")
                return
            await anyio.lowlevel.checkpoint()

    # ---- the whole answer --------------------------------------------------------------------------------------------

    async def _read_plain(self, operation: Operation) -> list[Any] | None:
        """Return the pieces of a plain request; None if there is no use in going on."""
        stream = operation.start(self.live)
        if not isinstance(stream, AsyncIterator):
            if inspect.iscoroutine(stream):
                stream.close()
            self.found("P201", f"{operation.method}() returns {type(stream).__name__}, and no async iterator")
            return None
        try:
            pieces: list[Any] = [piece async for piece in cast("AsyncIterator[Any]", stream)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._note_key(error)
            self.found("P202", describe_failure(error))
            return None
        wrong = next((each for each in pieces if not isinstance(each, operation.pieces)), None)
        if wrong is not None:
            names = " or ".join(each.__name__ for each in operation.pieces)
            self.found("P201", f"{operation.method}() yields {type(wrong).__name__}. Yield {names}")
            return None
        if operation.results and not any(isinstance(each, operation.results) for each in pieces):
            self.found("P202", f"{operation.method}() yields {len(pieces)} pieces, and no result among them")
            return None
        if any(shows_key(repr(each)) for each in pieces):
            self.found("P210", "a piece shows the key")
        return pieces

    def _note_key(self, error: BaseException) -> None:
        if error_shows_key(error):
            self.found("P210", f"{type(error).__name__} shows the key, in its text or its traceback")

    # ---- speech ------------------------------------------------------------------------------------------------------

    async def _speak(self, operation: Operation, pieces: Sequence[Any]) -> None:
        if (problem := problems_of_audio(pieces)) is not None:
            self.found("P204", problem)
        alone = [
            [piece async for piece in operation.start(self.live, TTSRequest(text_of(sentence)))]
            for sentence in SENTENCES
        ]
        if (problem := problems_of_order(pieces, alone)) is not None:
            self.found("P205", problem)
        text = _TextInTime()
        async for piece in operation.start(self.live, TTSRequest(text)):
            if isinstance(piece, Audio):
                text.heard.set()
        if text.late:
            self.found("P203", f"no audio of the first sentence came while the second was awaited, for {_PATIENCE:g} s")

    # ---- interruptions -----------------------------------------------------------------------------------------------

    async def _close_early(self, operation: Operation) -> None:
        tasks = _tasks()
        for number in _CLOSED_AFTER:
            stream = operation.start(self.live)
            with anyio.move_on_after(_PATIENCE) as patience:
                try:
                    for _ in range(number):
                        await anext(stream)
                except StopAsyncIteration:
                    break
                try:
                    await close(stream)
                except BaseException as error:
                    reraise_control_flow(error, anyio.get_cancelled_exc_class())
                    self.found("P206", f"closed after {number} pieces, {describe_failure(error)}: {error}")
                    return
            if patience.cancelled_caught:
                self.found("P206", f"closed after {number} pieces, it does not end within {_PATIENCE:g} s")
                return
        if await _left(tasks):
            self.found("P208", "a task still runs after the stream was closed")

    async def _cancel(self, operation: Operation) -> None:
        tasks = _tasks()

        def start() -> Any:
            return operation.start(self.live)

        began = anyio.current_time()
        for number in spread(await count_awaits(start, _MOST_AWAITS), _CANCELLED):
            if not await self._cancel_at(start, number) or anyio.current_time() - began > _BUDGET_SECONDS:
                break
        else:
            number = 0
        if await _left(tasks):
            self.found("P208", "a task still runs after the stream was cancelled")
        await self._use_again(operation)

    async def _cancel_at(self, start: Callable[[], Any], number: int) -> bool:
        """Return whether all is well after a cancellation."""
        try:
            outcome = await cancel_at(start, number)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.found("P207", f"cancelled at await {number}, {describe_failure(error)}")
            return False
        if outcome.pieces_after:
            self.found("P207", f"cancelled at await {number}, it still yields pieces")
        elif outcome.seconds > _CANCEL_SECONDS:
            self.found("P207", f"cancelled at await {number}, it goes on for {outcome.seconds:.1f} s")
        return not outcome.pieces_after and outcome.seconds <= _CANCEL_SECONDS

    async def _use_again(self, operation: Operation) -> None:
        """Make the plain request again, after everything that was cancelled."""
        try:
            with anyio.fail_after(2 * _PATIENCE):
                pieces = [piece async for piece in operation.start(self.live)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.found("P207", f"the request after a cancellation fails: {describe_failure(error)}")
            return
        if operation.results and not any(isinstance(each, operation.results) for each in pieces):
            self.found("P207", "the request after a cancellation has no result")


class _TextInTime(AsyncIterator[str]):
    """Two sentences. The second comes when audio of the first was heard, or after `_PATIENCE`."""

    def __init__(self) -> None:
        self.heard = anyio.Event()
        self.late = False
        self._given = 0

    async def __anext__(self) -> str:
        if self._given == len(SENTENCES):
            raise StopAsyncIteration
        if self._given:
            with anyio.move_on_after(_PATIENCE):
                await self.heard.wait()
            self.late = not self.heard.is_set()
        self._given += 1
        return SENTENCES[self._given - 1]


async def first_piece(stream: AsyncIterator[Any], seconds: float = _PATIENCE) -> bool:
    """Return whether a first piece comes in time. A stream that fails before has none."""
    with anyio.move_on_after(seconds), suppress(Exception):
        await anext(stream)
        return True
    return False


def _tasks() -> set[int]:
    return {each.id for each in anyio.get_running_tasks()}


async def _left(before: set[int]) -> bool:
    """Return whether tasks run that did not run before. Ending ones get some time."""
    for wait in (0, 0, 0.05, 0.2, 0.5):
        if _tasks() <= before:
            return False
        await anyio.sleep(wait)
    return not _tasks() <= before
