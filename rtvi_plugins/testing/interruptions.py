"""Close and cancel a stream, as interruptions do, and see what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import anyio
from attrs import define

from ..utils.error_texts import unwrap_group
from ..utils.plugin_calls import reraise_control_flow
from .operations import Operation
from .results import Findings
from .stepping import cancel_at, close, count_awaits

__all__ = ("PATIENCE", "Interruptions", "describe_failure", "running_tasks", "spread", "tasks_are_left")

#: How long to wait for what should come at once, in seconds.
PATIENCE: Final = 5.0
#: How long a stream may continue after it was cancelled, in seconds.
_CANCEL_SECONDS: Final = 1.0
#: How many awaits are cancelled, and how long that may take in all, in seconds.
_CANCELLED: Final = 24
_BUDGET_SECONDS: Final = 3.0
_MOST_AWAITS: Final = 2_000
#: After how many pieces a stream is closed.
_CLOSED_AFTER: Final = (0, 1, 2, 3, 4, 5, 8)


def describe_failure(error: BaseException) -> str:
    """Return what a provider raised, without its text, which may hold anything."""
    return f"it raises {type(unwrap_group(error)).__name__}"


def spread(count: int, most: int) -> list[int]:
    """Return numbers from 1 to count: the first, the last, and others at equal distances, at most `most`."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(each * (count - 1) / (most - 1)) for each in range(most)})


@define
class Interruptions:
    """The interruptions of one live service's operations."""

    live: Any
    findings: Findings
    #: The tasks of the fake vendor. Those that they start are the vendor's too.
    vendor_tasks: frozenset[int]

    async def run(self, operation: Operation) -> None:
        """Close and cancel streams of an operation, at many places."""
        await self._close_early(operation)
        await self._cancel(operation)

    async def _close_early(self, operation: Operation) -> None:
        self.findings.tried("P206", "P208")
        tasks = running_tasks()
        for number in _CLOSED_AFTER:
            stream = operation.start(self.live)
            with anyio.move_on_after(PATIENCE) as patience:
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
                self.findings.found("P206", f"closed after {number} pieces, it does not end within {PATIENCE:g} s")
                return
        if await tasks_are_left(tasks, self.vendor_tasks):
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
        if await tasks_are_left(tasks, self.vendor_tasks):
            self.findings.found("P208", "a task still runs after the stream was cancelled")
        await self._use_again(operation)

    async def _cancel_at(self, start: Callable[[], Any], number: int) -> bool:
        """Return whether all is well after a cancellation."""
        try:
            outcome = await cancel_at(start, number)
            if outcome.seconds > _CANCEL_SECONDS and not outcome.pieces_after:
                # The first import of a module, or a busy machine, can delay one cancellation, but not two.
                outcome = await cancel_at(start, number)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.findings.found("P207", f"cancelled at await {number}, {describe_failure(error)}")
            return False
        if outcome.pieces_after:
            self.findings.found("P207", f"cancelled at await {number}, it still yields pieces")
        elif outcome.seconds > _CANCEL_SECONDS:
            self.findings.found("P207", f"cancelled at await {number}, it continues for {outcome.seconds:.1f} s")
        return not outcome.pieces_after and outcome.seconds <= _CANCEL_SECONDS

    async def _use_again(self, operation: Operation) -> None:
        """Make the plain request again, after everything that was cancelled."""
        try:
            with anyio.fail_after(2 * PATIENCE):
                pieces = [piece async for piece in operation.start(self.live)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.findings.found("P207", f"the request after a cancellation fails: {describe_failure(error)}")
            return
        if operation.results and not any(isinstance(each, operation.results) for each in pieces):
            self.findings.found("P207", "the request after a cancellation has no result")


async def tasks_are_left(before: Iterable[int], but: frozenset[int] = frozenset()) -> bool:
    """Return whether tasks run that did not run before, other than these and those that they start.

    Tasks that are ending get some time.
    """
    known = set(before)
    for wait in (0, 0, 0.05, 0.2, 0.5):
        if not _new_tasks(known, but):
            return False
        await anyio.sleep(wait)
    return _new_tasks(known, but)


def _new_tasks(before: set[int], but: frozenset[int]) -> bool:
    tasks = running_tasks()
    return any(not but.intersection(_ancestry(each, tasks)) for each in tasks.keys() - before)


def _ancestry(task: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    """Yield a task, the one that has started it, and so on."""
    found: int | None = task
    while found is not None:
        yield found
        found = parents.get(found)


def running_tasks() -> dict[int, int | None]:
    """Return the ids of all tasks, with the ids of the tasks that have started them."""
    return {each.id: each.parent_id for each in anyio.get_running_tasks()}
