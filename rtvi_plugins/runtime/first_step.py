"""Run the first step of a coroutine at once, and the other steps in a waiting task.

A step is the code between two moments at which the coroutine waits. On asyncio, any caller can run the first step with
the waiting task as the current task. So `current_task()` and cancel scopes are those of the task that will run the
other steps. This is not possible on trio.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from attrs import define

from ..errors import report
from ..utils.control_flow import reraise_control_flow
from ..utils.task_context import call_in

__all__ = ("Begun", "all_steps", "first_step", "other_steps")


@define(eq=False)
class Begun:
    """A coroutine that has made its first step, and what it waits for."""

    coroutine: Coroutine[Any, Any, None]
    context: Context
    waits_for: Any


def first_step(coroutine: Coroutine[Any, Any, None], context: Context, task: asyncio.Task[Any]) -> Begun | None:
    """Make the first step of a coroutine in the name of a task. Return None if the coroutine is over."""
    try:
        return Begun(coroutine, context, call_in(task, context.run, coroutine.send, None))
    except StopIteration:
        return None
    except BaseException as error:
        reraise_control_flow(error)
        report("an action", error)
        return None


@types.coroutine
def other_steps(begun: Begun, cancellation: BaseException | None) -> Generator[Any, Any, None]:
    """Make the other steps, in the task that awaits this. `cancellation` was raised since the first step, if any."""
    step: Callable[[Any], Any]
    value: Any
    if cancellation is not None and not (begun.waits_for is not None and begun.waits_for.cancel()):
        step, value = begun.coroutine.throw, cancellation
    else:
        try:
            step, value = begun.coroutine.send, (yield begun.waits_for)
        except BaseException as raised:
            step, value = begun.coroutine.throw, raised
    yield from _steps(begun.coroutine, begun.context, step, value, None)


@types.coroutine
def all_steps(
    coroutine: Coroutine[Any, Any, None], context: Context, on_wait: Callable[[], None]
) -> Generator[Any, Any, None]:
    """Make all steps, in the task that awaits this. `on_wait` is called when the coroutine waits for the first time."""
    yield from _steps(coroutine, context, coroutine.send, None, on_wait)


def _steps(
    coroutine: Coroutine[Any, Any, None],
    context: Context,
    step: Callable[[Any], Any],
    value: Any,
    on_wait: Callable[[], None] | None,
) -> Generator[Any, Any, None]:
    while True:
        try:
            waits_for = context.run(step, value)
        except StopIteration:
            return
        if on_wait is not None:
            on_wait()
            on_wait = None
        try:
            step, value = coroutine.send, (yield waits_for)
        except BaseException as raised:
            step, value = coroutine.throw, raised
