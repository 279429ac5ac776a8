"""Read the stream of an operation in the ways in which a conversation does: whole, left early, and cancelled."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import anyio.lowlevel
from attrs import define

from ..declare.specs import ProviderSpec
from ..kinds import Audio, ListeningSTT, ListenRequest, TTSRequest
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import unwrap_group
from .listening import LISTENING, Conversation
from .operations import OPERATIONS, SENTENCES, Operation, frame, problems_of_audio, problems_of_order, text_of
from .results import Findings
from .stepping import cancel_at, close, count_awaits
from .visible import error_shows_key, shows_key

__all__ = ("StreamCheck", "describe_failure", "first_piece", "running_tasks", "spread")

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
    findings: Findings
    #: The tasks of the fake vendor. Those that they start are the vendor's too.
    vendor_tasks: frozenset[int] = frozenset()

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
        if isinstance(self.live, ListeningSTT):
            await self._listen()

    async def _detect(self) -> None:
        self.findings.tried("P202")
        for number in range(10):
            try:
                probability: object = self.live.speech_probability(frame(number))
            except Exception as error:
                self.findings.found("P202", describe_failure(error))
                return
            if inspect.iscoroutine(probability):
                probability.close()
            if not isinstance(probability, float | int) or not 0 <= probability <= 1:
                self.findings.found(
                    "P202", f"speech_probability() returns {type(probability).__name__}, not a number 0 to 1"
                )
                return
            await anyio.lowlevel.checkpoint()

    # ---- the whole answer --------------------------------------------------------------------------------------------

    async def _read_plain(self, operation: Operation, request: Any = None) -> list[Any] | None:
        """Return the pieces of a plain request; None if there is no use in going on."""
        self.findings.tried("P201", "P202")
        stream = operation.start(self.live, request)
        if not isinstance(stream, AsyncIterator):
            self._not_a_stream(operation.method, stream)
            return None
        try:
            pieces: list[Any] = [piece async for piece in cast("AsyncIterator[Any]", stream)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._note_key(error)
            self.findings.found("P202", describe_failure(error))
            return None
        wrong = next((each for each in pieces if not isinstance(each, operation.pieces)), None)
        if wrong is not None:
            names = " or ".join(each.__name__ for each in operation.pieces)
            self.findings.found("P201", f"{operation.method}() yields {type(wrong).__name__}. Yield {names}")
            return None
        if operation.results and not any(isinstance(each, operation.results) for each in pieces):
            self.findings.found("P202", f"{operation.method}() yields {len(pieces)} pieces, and no result among them")
            return None
        if any(shows_key(repr(each)) for each in pieces):
            self.findings.found("P210", "a piece shows the key")
        return pieces

    def _not_a_stream(self, method: str, found: object) -> None:
        if inspect.iscoroutine(found):
            found.close()
        self.findings.found("P201", f"{method}() returns {type(found).__name__}, and no async iterator")

    def _note_key(self, error: BaseException) -> None:
        if error_shows_key(error):
            self.findings.found("P210", f"{type(error).__name__} shows the key, in its text or its traceback")

    # ---- speech ------------------------------------------------------------------------------------------------------

    async def _speak(self, operation: Operation, pieces: Sequence[Any]) -> None:
        self.findings.tried("P203", "P204", "P205")
        if (problem := problems_of_audio(pieces)) is not None:
            self.findings.found("P204", problem)
        alone = [
            [piece async for piece in operation.start(self.live, TTSRequest(text_of(sentence)))]
            for sentence in SENTENCES
        ]
        if (problem := problems_of_order(pieces, alone)) is not None:
            self.findings.found("P205", problem)
        text = _TextInTime()
        async for piece in operation.start(self.live, TTSRequest(text)):
            if isinstance(piece, Audio):
                text.heard.set()
        if text.late:
            self.findings.found(
                "P203", f"no audio of the first sentence came while the second was awaited, for {_PATIENCE:g} s"
            )

    # ---- one stream for all utterances -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Let an STT hear two utterances in one stream, and interrupt it."""
        self.findings.tried("P241")
        conversation = Conversation()
        if not isinstance(stream := self.live.listen(ListenRequest(conversation)), AsyncIterator):
            self._not_a_stream("listen", stream)
            return
        await close(cast("AsyncIterator[Any]", stream))
        with anyio.move_on_after(_PATIENCE):
            pieces = await self._read_plain(LISTENING, conversation)
            if pieces is None:
                return
        if conversation.problem or not conversation.is_over:
            self.findings.found("P241", conversation.problem or _unsettled(conversation))
            return
        await self._close_early(LISTENING)
        await self._cancel(LISTENING)

    # ---- interruptions -----------------------------------------------------------------------------------------------

    async def _close_early(self, operation: Operation) -> None:
        self.findings.tried("P206", "P208")
        tasks = running_tasks()
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
                    self.findings.found("P206", f"closed after {number} pieces, {describe_failure(error)}: {error}")
                    return
            if patience.cancelled_caught:
                self.findings.found("P206", f"closed after {number} pieces, it does not end within {_PATIENCE:g} s")
                return
        if await self._left(tasks):
            self.findings.found("P208", "a task still runs after the stream was closed")

    async def _cancel(self, operation: Operation) -> None:
        self.findings.tried("P207", "P208")
        tasks = running_tasks()

        def start() -> Any:
            return operation.start(self.live)

        began = anyio.current_time()
        for number in spread(await count_awaits(start, _MOST_AWAITS), _CANCELLED):
            if not await self._cancel_at(start, number) or anyio.current_time() - began > _BUDGET_SECONDS:
                break
        else:
            number = 0
        if await self._left(tasks):
            self.findings.found("P208", "a task still runs after the stream was cancelled")
        await self._use_again(operation)

    async def _left(self, before: Iterable[int]) -> bool:
        """Return whether tasks run that did not run before. Ending ones get some time."""
        for wait in (0, 0, 0.05, 0.2, 0.5):
            if not self._new_tasks(before):
                return False
            await anyio.sleep(wait)
        return self._new_tasks(before)

    def _new_tasks(self, before: Iterable[int]) -> bool:
        tasks = running_tasks()
        return any(not self.vendor_tasks.intersection(_ancestry(each, tasks)) for each in tasks.keys() - set(before))

    async def _cancel_at(self, start: Callable[[], Any], number: int) -> bool:
        """Return whether all is well after a cancellation."""
        try:
            outcome = await cancel_at(start, number)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.findings.found("P207", f"cancelled at await {number}, {describe_failure(error)}")
            return False
        if outcome.pieces_after:
            self.findings.found("P207", f"cancelled at await {number}, it still yields pieces")
        elif outcome.seconds > _CANCEL_SECONDS:
            self.findings.found("P207", f"cancelled at await {number}, it goes on for {outcome.seconds:.1f} s")
        return not outcome.pieces_after and outcome.seconds <= _CANCEL_SECONDS

    async def _use_again(self, operation: Operation) -> None:
        """Make the plain request again, after everything that was cancelled."""
        try:
            with anyio.fail_after(2 * _PATIENCE):
                pieces = [piece async for piece in operation.start(self.live)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.findings.found("P207", f"the request after a cancellation fails: {describe_failure(error)}")
            return
        if operation.results and not any(isinstance(each, operation.results) for each in pieces):
            self.findings.found("P207", "the request after a cancellation has no result")


def _unsettled(conversation: Conversation) -> str:
    return f"{conversation.settled} of 2 pauses were settled within {_PATIENCE:g} s"


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


def _ancestry(task: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    """Yield a task, the one that has started it, and so on."""
    found: int | None = task
    while found is not None:
        yield found
        found = parents.get(found)


async def first_piece(stream: AsyncIterator[Any], seconds: float = _PATIENCE) -> bool:
    """Return whether a first piece comes in time. A stream that fails before has none."""
    with anyio.move_on_after(seconds), suppress(Exception):
        await anext(stream)
        return True
    return False


def running_tasks() -> dict[int, int | None]:
    """Return the ids of all tasks, with the ids of the tasks that have started them."""
    return {each.id: each.parent_id for each in anyio.get_running_tasks()}
