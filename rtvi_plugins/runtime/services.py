"""A service that is open, and its `Handle`, which a bot holds: it forwards to the service that is in use.

A service, like a lifespan, is an async context manager that stays open in a task of its own, the `OpenContext`. It may
hold a task group, so the task that entered it has to leave it. And what is replaced is not left in the reverse order.
Its exceptions end nothing else.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, cast

import anyio
from attrs import define, field

from ..errors import PluginError, ProviderError, StartFailed, report
from ..registry.registry import Provider
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import reraise_control_flow
from ..utils.waiting import OneShotEvent, clear_stray_cancellation

__all__ = ("Handle", "OpenContext", "OpenService", "check_manager", "live_service")

log = logging.getLogger("rtvi_plugins")


@define(eq=False, repr=False)  # a live service may have a key in its repr
class OpenContext:
    """A context manager, and the task that keeps it open. `name` is its name in the log.

    `place` is its function in errors for the author.
    """

    name: str
    place: str
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
                # Its own task group was cancelled. Client libraries do this when their connection ends.
                self._failed(EOFError("it ended by itself"))
        except BaseException as error:  # an exception of one context must not end the others
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
        if (problem := _yield_problem(error)) is not None:
            error = PluginError(f"{self.place} {problem}")
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


#: What `contextlib` raises if a function under `@asynccontextmanager` does not yield once, and what the author did.
_YIELD_PROBLEMS: Final[Mapping[str, str]] = {
    "generator didn't yield": "ends without a yield. Yield the value once.",
    "generator didn't stop": "yields a second time. Yield the value once. What follows the yield closes it.",
}


def _yield_problem(error: BaseException) -> str | None:
    """Return what is wrong with the yields of a context manager, if `contextlib` has raised the error itself."""
    trace = error.__traceback__
    # Two frames: ours and that of `contextlib`. With more, a context manager inside of this one has the mistake.
    if trace is None or trace.tb_next is None or trace.tb_next.tb_next is not None:
        return None
    if trace.tb_next.tb_frame.f_globals.get("__name__") != contextlib.__name__:
        return None
    if type(error) is TypeError:  # what it has returned cannot be asked for a value
        return "returns its value. Write async def, and yield the value."
    return _YIELD_PROBLEMS.get(str(error)) if type(error) is RuntimeError else None


def check_manager(made: object, place: str) -> None:
    """Raise `PluginError` if a function of a plugin has not returned an async context manager."""
    if not hasattr(type(made), "__aenter__"):
        found = "None" if made is None else type(made).__name__
        raise PluginError(
            f"{place} returns {found}, which is not an async context manager. Write async def under "
            "@asynccontextmanager, and yield the value."
        )


@define(eq=False, repr=False, init=False)
class OpenService(OpenContext):
    """A service that is open."""

    service: str = field(init=False)
    provider: Provider = field(init=False)

    def __init__(self, service: str, provider: Provider, manager: AbstractAsyncContextManager[Any]) -> None:
        super().__init__(f"the service {service!r} ({provider.label})", where(provider.spec.function), manager)
        self.service, self.provider = service, provider

    @classmethod
    def down(cls, service: str, provider: Provider) -> OpenService:
        """Return a placeholder for a service that could not be opened, until it can."""
        placeholder = cls(service, provider, nullcontext())
        placeholder.error = placeholder.failure()
        return placeholder

    @property
    def is_up(self) -> bool:
        """Return whether it was opened and has not died."""
        return self.error is None and not self.ended

    @property
    def was_opened(self) -> bool:
        """Return whether it was opened. A placeholder was not."""
        return self.settled.is_set()

    def failure(self) -> ProviderError:
        """Return the error for those who use a service that has died or was not opened."""
        return ProviderError(self.provider.label, "unavailable")

    def alive(self) -> Any:
        """Return the live service. Raise `ProviderError` if it has died."""
        if self.error is not None:
            raise self.failure()
        return self.live


class Handle:
    """A service as a bot receives it. A switch of the provider does not change the handle.

    Within a turn it forwards to the service that was in use when the turn began.
    """

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], OpenService]) -> None:
        self._find = find

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the class of the service in use, so that `isinstance` finds the optional protocols of its provider."""
        return cast("type[object]", type(self._find().live))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._find().alive(), name)


def live_service(handle: object) -> Any:
    """Return the live object behind a handle: what the provider has yielded."""
    return handle._find().alive() if type(handle) is Handle else handle  # pyright: ignore[reportPrivateUsage]
