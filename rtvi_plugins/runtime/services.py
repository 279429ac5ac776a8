"""Open a service, keep it open, and close it, in a task of its own.

A service is an async context manager and may hold a task group. So the task that entered it has to leave it; and
services that are replaced are not left in the reverse order. Therefore each service has its own task.

A bot holds a `Handle`, which forwards to the service that is in use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup

from ..errors import MissingKey, ProviderError, RequestError, StartFailed, report
from ..protocol.operator_fields import Keys, key_variable
from ..registry.registry import Provider
from ..session import Secret
from ..utils.blocked_threads import suspended_at
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import unwrap_group, where
from ..utils.waiting import OneShotEvent, clear_stray_cancellation
from .client_errors import as_request_error, with_texts
from .service_check import misfit

__all__ = (
    "Handle",
    "OpenService",
    "Opener",
)

log = logging.getLogger("rtvi_plugins")


class Opener:
    """Opens the services of one session, with the session's keys and service options."""

    def __init__(
        self,
        tasks: TaskGroup,
        keys: Keys,
        options: Mapping[str, Mapping[str, Any]],
        seconds: float,
        hide: Callable[[str], str] = str,
    ) -> None:
        self._tasks = tasks
        self._keys = keys
        self._options = options
        self._seconds = seconds
        self._hide = hide
        self._opened: list[OpenService] = []

    @property
    def unclosed(self) -> list[OpenService]:
        """Return the services that were cancelled because they took too long, and still run."""
        return [each for each in self._opened if each.abandoned]

    async def open(self, service: str, provider: Provider) -> OpenService:
        """Open a service. Raise `MissingKey`, `StartFailed`, or what the provider raised as a `RequestError`."""
        secrets = [self._secret(provider, each.name, each.optional) for each in provider.spec.secrets]
        try:
            manager = provider.spec.function(*secrets, **self._options.get(f"{service}.{provider.label}", {}))
        except BaseException as error:
            reraise_control_flow(error)
            raise self._failure(service, provider, unwrap_group(error)) from None
        opened = OpenService(service, provider, manager)
        self._opened = [*(each for each in self._opened if not each.ended), opened]
        self._tasks.start_soon(opened.keep)
        try:
            with anyio.fail_after(self._seconds):
                await opened.settled.wait()
        except TimeoutError:
            place = suspended_at(manager) or where(provider.spec.function)
            opened.abandon()
            text = f"The service {service!r} ({provider.label}) did not open within {self._seconds:g} s."
            log.error("%s It waits in %s.", text, place)
            raise StartFailed(text, retryable=True) from None
        except BaseException:
            opened.abandon()
            raise
        if opened.error is not None:
            raise self._failure(service, provider, opened.error)
        if (problem := misfit(opened.live, provider.spec.protocol)) is not None:
            found, kind = type(opened.live).__name__, provider.spec.protocol.__name__
            await opened.close()
            yields = f"{where(provider.spec.function)} yields {found}, which is no {kind}"
            log.error("The service %r (%s): %s: %s.", service, provider.label, yields, problem)
            raise StartFailed(f"The service {service!r} ({provider.label}) is not what its kind asks for.")
        return opened

    def _failure(self, service: str, provider: Provider, error: BaseException) -> RequestError:
        """Return the error for the client, without values that only the operator wrote."""
        failure = _failure(service, provider, error)
        hidden = with_texts(failure, self._hide)
        if hidden is not failure:
            log.error("%s", failure.message)
        return hidden

    def _secret(self, provider: Provider, name: str, optional: bool) -> Secret | None:
        found = self._keys(provider.spec.provider, name)
        if found is None and not optional:
            variable = key_variable(provider.spec.provider, name)
            raise MissingKey(
                f"The provider {provider.label!r} needs the key {name!r}, and the operator has given none: "
                f"set {variable}, or send it in a trusted start."
            )
        return found


class OpenService:
    """A service, and the task that keeps it open."""

    __slots__ = (
        "_closed",
        "_closing",
        "_manager",
        "_scope",
        "abandoned",
        "ended",
        "error",
        "live",
        "provider",
        "service",
        "settled",
    )

    def __init__(self, service: str, provider: Provider, manager: AbstractAsyncContextManager[Any]) -> None:
        self.service = service
        self.provider = provider
        self.live: Any = None
        self.error: Exception | None = None
        self.settled = OneShotEvent()
        #: Whether it was cancelled and has not ended, and whether it has ended.
        self.abandoned = self.ended = False
        self._manager: AbstractAsyncContextManager[Any] | None = manager
        self._closing: OneShotEvent | None = None
        self._closed: OneShotEvent | None = None
        self._scope: anyio.CancelScope | None = None

    async def keep(self) -> None:
        """Enter the service, wait for `close`, and leave it. The end of the session does not cancel it."""
        manager, self._manager = self._manager, None
        early = False
        try:
            if manager is None:
                return
            with anyio.CancelScope(shield=True) as self._scope:
                async with manager as self.live:
                    self._closing = OneShotEvent()
                    self.settled.set()
                    early = True
                    await self._closing.wait()
                    early = False
            if early and not self._scope.cancel_called:
                # Its own task group was cancelled, as a client library does when its connection ends.
                self._failed(EOFError("the service ended by itself"))
        except BaseException as error:  # no exception of a service may end the others
            reraise_control_flow(error)
            self._failed(error)
        finally:
            self._scope = None
            self.abandoned, self.ended = False, True
            self.settled.set()
            if self._closed is not None:
                self._closed.set()
        await clear_stray_cancellation()

    def _failed(self, raised: BaseException) -> None:
        error = unwrap_group(raised)
        if self.settled.is_set():
            report(self.name, error)
        self.error = error if isinstance(error, Exception) else StartFailed("The service ended the process.")

    def alive(self) -> Any:
        """Return the live service. Raise `ProviderError` if it has died."""
        if self.error is not None:
            raise ProviderError(self.provider.label, "unavailable")
        return self.live

    def abandon(self) -> None:
        """Cancel a service that is still opening, or does not close."""
        self._manager = None
        if self._scope is not None:
            self.abandoned = True
            self._scope.cancel()

    @property
    def name(self) -> str:
        """Return the name of the service in the log."""
        return f"the service {self.service!r} ({self.provider.label})"

    async def close(self, seconds: float = 5.0) -> None:
        """Close the service. Cancel it if that takes longer than `seconds`."""
        if self._scope is None:
            return
        self._closed = OneShotEvent()
        if self._closing is not None:
            self._closing.set()
        # Shielded: a session that ends in the meantime must not leave a service behind.
        with anyio.move_on_after(seconds, shield=True):
            await self._closed.wait()
            return
        log.warning("%s has not closed within %g s, and is cancelled", self.name, seconds)
        self.abandon()


def _failure(service: str, provider: Provider, error: BaseException) -> RequestError:
    """Return the error of a service that did not open. It never has the text of an exception of any other class."""
    meant = as_request_error(error)
    if meant is not None and not isinstance(error, ProviderError):
        return meant
    report(f"the service {service!r} ({provider.label}), while opening,", error)
    reason, retryable = (f" {meant.message}", meant.retryable) if meant is not None else ("", False)
    return StartFailed(f"The service {service!r} ({provider.label}) could not be opened.{reason}", retryable=retryable)


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
