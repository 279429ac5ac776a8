"""Open the lifespans of a bot once for the whole process, and close them in reverse order."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import NoneType
from typing import Any, get_origin

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..declare.lifespans import Lifespans
from ..declare.specs import AnyFunction, LifespanSpec, LifespanValue
from ..errors import AuthorError, PluginError, RequestError, report
from ..limits import Limits
from ..protocol.operator_fields import key_variable
from ..session import Secret
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import reraise_control_flow
from .client_errors import as_request_error
from .service_check import yielded_name
from .services import OpenContext, check_manager

__all__ = ("OpenLifespans",)

log = logging.getLogger("rtvi_plugins")


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
            check_manager(manager, "it")
        except BaseException as error:
            reraise_control_flow(error)
            return _lifespan_error(name, error)
        opened = OpenContext(name, "it", manager)
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
    named = "None" if cls is NoneType else cls.__name__
    if value is None or value is cls:
        return PluginError(f"{_capital(name)} yields {yielded_name(value)}. Yield an object of {named}.")
    found = yielded_name(value)
    return PluginError(f"{_capital(name)} yields {found}, but its annotation names {named}. Change one of them.")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
