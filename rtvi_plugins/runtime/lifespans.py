"""Open the lifespans of a bot once for the whole process, and close them in reverse order.

A lifespan, like a service, is an async context manager that stays open in a task of its own, the `OpenContext`. It may
hold a task group, so the task that entered it has to leave it. And what is replaced is not left in the reverse order.
Its exceptions end nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, get_origin

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..declare.lifespans import Lifespans
from ..declare.specs import AnyFunction, LifespanSpec, LifespanValue
from ..errors import AuthorError, PluginError, RequestError, StartFailed, report
from ..limits import Limits
from ..protocol.operator_fields import key_variable
from ..session import Secret
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import reraise_control_flow
from ..utils.waiting import OneShotEvent, clear_stray_cancellation
from .client_errors import as_request_error

__all__ = ("OpenContext", "OpenLifespans")

log = logging.getLogger("rtvi_plugins")


@define(eq=False, repr=False)  # a live service may have a key in its repr
class OpenContext:
    """A context manager, and the task that keeps it open. `name` is its name in the log."""

    name: str
    _manager: AbstractAsyncContextManager[Any] | None
    live: Any = None
    error: Exception | None = None
    settled: OneShotEvent = field(factory=OneShotEvent)
    #: Whether it was cancelled and has not ended, and whether it has ended.
    abandoned: bool = False
    ended: bool = False
    _closing: OneShotEvent | None = None
    _closed: OneShotEvent | None = None
    _keeper_scope: anyio.CancelScope | None = None

    async def keep(self) -> None:
        """Enter it, wait for `close`, and leave it. No cancellation of the caller ends it."""
        manager, self._manager = self._manager, None
        early = False
        try:
            if manager is None:
                return
            with anyio.CancelScope(shield=True) as self._keeper_scope:
                async with manager as self.live:
                    self._closing = OneShotEvent()
                    self.settled.set()
                    early = True
                    await self._closing.wait()
                    early = False
            if early and not self._keeper_scope.cancel_called:
                # Its own task group was cancelled, as a client library does when its connection ends.
                self._failed(EOFError("it ended by itself"))
        except BaseException as error:  # no exception of one may end the others
            reraise_control_flow(error)
            self._failed(error)
        finally:
            self._keeper_scope = None
            self.abandoned, self.ended = False, True
            self.settled.set()
            if self._closed is not None:
                self._closed.set()
        await clear_stray_cancellation()

    def _failed(self, raised: BaseException) -> None:
        error = unwrap_group(raised)
        if self.settled.is_set():
            report(self.name, error)
        self.error = error if isinstance(error, Exception) else StartFailed("It ended the process.")

    def abandon(self) -> None:
        """Cancel it, because it is still opening, or does not close."""
        self._manager = None
        if self._keeper_scope is not None:
            self.abandoned = True
            self._keeper_scope.cancel()

    async def close(self, seconds: float = 5.0) -> None:
        """Close it. Cancel it if that takes longer than `seconds`."""
        if self._keeper_scope is None:
            return
        self._closed = OneShotEvent()
        if self._closing is not None:
            self._closing.set()
        # Shielded: a session that ends in the meantime must not leave it behind.
        with anyio.move_on_after(seconds, shield=True):
            await self._closed.wait()
            return
        log.warning("%s has not closed within %g s, and is cancelled", self.name, seconds)
        self.abandon()


@define(eq=False)
class OpenLifespans:
    """The lifespans of one host, while it runs."""

    lifespans: Lifespans
    limits: Limits
    #: Finds a key by the names of the lifespan and of the parameter.
    find_key: Callable[[str, str], Secret | None]
    #: Returns whose a module is, as in "the bot receptionist".
    owner_of: Callable[[str], str]
    _open_lifespans: dict[LifespanSpec, OpenContext] = field(factory=dict[LifespanSpec, OpenContext])

    def value(self, function: AnyFunction, parameter: LifespanValue) -> Any:
        return self._open_lifespans[self.lifespans.of_parameter[function, parameter.name]].live

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep all lifespans open during the block. Raise `PluginError` for one that does not open."""
        failed: PluginError | None = None
        async with anyio.create_task_group() as tasks:
            try:
                for spec in self.lifespans.specs:
                    if (failed := await self._open_lifespan(spec, tasks)) is not None:
                        break
                else:
                    yield
            finally:
                with anyio.CancelScope(shield=True):
                    for each in reversed(self._open_lifespans.values()):
                        await each.close(self.limits.close_seconds)
                    self._open_lifespans.clear()
        if failed is not None:
            raise failed

    async def _open_lifespan(self, spec: LifespanSpec, tasks: TaskGroup) -> PluginError | None:
        name = f"the lifespan {where(spec.function)} of {self.owner_of(spec.function.__module__)}"
        keys = {each.name: self.find_key(spec.name, each.name) for each in spec.secrets}
        for each in spec.secrets:
            if keys[each.name] is None and not each.optional:
                variable = key_variable(spec.name, each.name)
                return PluginError(f"{_capital(name)} needs the key {each.name!r}. Set {variable}.")
        try:
            manager = spec.function(*keys.values())
        except BaseException as error:
            reraise_control_flow(error)
            return _lifespan_error(name, error)
        opened = OpenContext(name, manager)
        tasks.start_soon(opened.keep)
        try:
            with anyio.move_on_after(self.limits.open_seconds):
                await opened.settled.wait()
            if not opened.settled.is_set():
                log.warning("%s takes longer than %g s to open", name, self.limits.open_seconds)
                await opened.settled.wait()
        except BaseException:
            opened.abandon()
            raise
        if opened.error is not None:
            return _lifespan_error(name, opened.error)
        self._open_lifespans[spec] = opened
        return _wrong_lifespan_value(name, spec, opened.live)


def _lifespan_error(name: str, raised: BaseException) -> PluginError:
    """Return the error for the operator. It has the text of the exception only if its author wrote it for others."""
    error = unwrap_group(raised)
    meant = error if isinstance(error, AuthorError | RequestError) else as_request_error(error)
    if meant is not None:
        return PluginError(f"{_capital(name)} cannot open: {meant}")
    report(name, error)
    return PluginError(f"{_capital(name)} cannot open: it raised {type(error).__name__}.")


def _wrong_lifespan_value(name: str, spec: LifespanSpec, value: Any) -> PluginError | None:
    cls = get_origin(spec.annotation) or spec.annotation
    try:
        if isinstance(value, cls):
            return None
    except TypeError:  # a Protocol that cannot be checked
        return None
    found = type(value).__name__
    return PluginError(f"{_capital(name)} yields {found}, but its annotation names {cls.__name__}. Change one of them.")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
