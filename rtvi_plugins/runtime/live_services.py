"""Open the services of a session, each in a task of its own, and close them.

Those that were replaced are closed once no turn uses them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..declare.specs import LifespanValue, SecretSpec
from ..errors import MissingKey, ProviderCategory, ProviderError, RequestError, StartFailed, report
from ..protocol.operator_fields import Keys, key_variable
from ..registry.registry import Provider
from ..session import Secret
from ..utils.blocked_threads import suspended_at
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import asyncio_task, reraise_control_flow
from .client_errors import as_request_error, with_texts
from .keys import KeyChecks, page_of_keys
from .lifespans import OpenLifespans
from .service_check import misfit_of_service, yielded_name
from .services import OpenService, check_manager
from .session_core import SessionCore

__all__ = ("LiveServices", "Opener")

log = logging.getLogger("rtvi_plugins")


class Opener:
    """Opens the services of one session, with the session's keys and service options."""

    def __init__(
        self,
        tasks: TaskGroup,
        keys: Keys,
        options: Mapping[str, Mapping[str, Any]],
        lifespans: OpenLifespans,
        seconds: float,
        hide: Callable[[str], str] = str,
        checks: KeyChecks | None = None,
    ) -> None:
        self._keepers = tasks
        self._find_key = keys
        self._service_options = options
        self._lifespans = lifespans
        self._open_seconds = seconds
        self._hide = hide
        self._key_checks = checks
        #: The services that were opened and have not ended, in order.
        self.opened: list[OpenService] = []

    async def open(self, service: str, provider: Provider) -> OpenService:
        """Open a service. Raise `MissingKey`, `StartFailed`, or what the provider raised as a `RequestError`."""
        if provider.spec.asyncio_only and asyncio_task() is None:
            raise StartFailed(
                f"The provider {provider.label!r} runs on asyncio only, and this server runs on trio. "
                "Run it on asyncio, as `rtvi run` does."
            )
        manager = self.manager(service, provider)
        opened = OpenService(service, provider, manager)
        self.opened = [*(each for each in self.opened if not each.ended), opened]
        self._keepers.start_soon(opened.keep)
        try:
            with anyio.fail_after(self._open_seconds):
                await opened.settled.wait()
        except TimeoutError:
            place = suspended_at(manager) or where(provider.spec.function)
            opened.abandon()
            text = f"The service {service!r} ({provider.label}) did not open within {self._open_seconds:g} s."
            log.error("%s It waits in %s.", text, place)
            raise _start_failed(text, "timeout", retryable=True) from None
        except BaseException:
            opened.abandon()
            raise
        if opened.error is not None:
            raise self._service_failure(service, provider, opened.error)
        if (problem := misfit_of_service(opened.live, provider.spec.protocol)) is not None:
            found, kind = yielded_name(opened.live), provider.spec.protocol.__name__
            await opened.close()
            yields = f"{where(provider.spec.function)} yields {found}, which does not implement {kind}"
            log.error("The service %r (%s): %s: %s.", service, provider.label, yields, problem)
            raise StartFailed(f"The service {service!r} ({provider.label}) does not implement its kind.")
        if self._key_checks is not None:
            refused = await self._key_checks.check_again(provider.spec, self.keys_of(provider), opened.live)
            if refused is not None:
                await opened.close()
                text = f"The service {service!r} ({provider.label}) could not be opened. {refused}"
                raise _start_failed(text, "auth")
        return opened

    def manager(self, service: str, provider: Provider) -> AbstractAsyncContextManager[Any]:
        """Return the context manager of a service. Raise `MissingKey`, or what the provider raised."""
        given = [self._injected(provider, each) for each in provider.spec.given]
        # A copy: a provider may change what it receives, and these options belong to all sessions.
        options = deepcopy(dict(self._service_options.get(f"{service}.{provider.label}", {})))
        try:
            made: AbstractAsyncContextManager[Any] = provider.spec.function(*given, **options)
            check_manager(made, where(provider.spec.function))
            return made
        except BaseException as error:
            reraise_control_flow(error)
            raise self._service_failure(service, provider, unwrap_group(error)) from None

    def keys_of(self, provider: Provider) -> list[Secret | None]:
        """Return the keys of a provider in the order of its parameters."""
        return [self._find_key(provider.spec.provider, each.name) for each in provider.spec.secrets]

    def fingerprint(self, service: str, provider: Provider) -> tuple[int, bool]:
        """Return a hash of a provider's keys and service options, and whether the process itself has these keys."""
        options = self._service_options.get(f"{service}.{provider.label}", {})
        keys = [each and each.reveal() for each in self.keys_of(provider)]
        found = (self._lifespans.find_key(provider.spec.provider, each.name) for each in provider.spec.secrets)
        return hash((*keys, repr(sorted(options.items())))), keys == [each and each.reveal() for each in found]

    def _service_failure(self, service: str, provider: Provider, error: BaseException) -> RequestError:
        """Return the error for the client, without values that only the operator wrote."""
        failure = _service_failure(service, provider, error)
        hidden = with_texts(failure, self._hide)
        if hidden is not failure:
            log.error("%s", failure.message, extra={"code": failure.code})
        return hidden

    def _injected(self, provider: Provider, parameter: SecretSpec | LifespanValue) -> Any:
        """Return a key, or the value of a lifespan."""
        if isinstance(parameter, LifespanValue):
            return self._lifespans.value(provider.spec.function, parameter)
        found = self._find_key(provider.spec.provider, parameter.name)
        if found is None and not parameter.optional:
            variable = key_variable(provider.spec.provider, parameter.name)
            page = page_of_keys(provider.spec)
            raise MissingKey(
                f"The provider {provider.label!r} needs the key {parameter.name!r}, which is missing. Set {variable}, "
                f"or store it: rtvi keys set {variable}. A start request with the operator's secret may bring it.{page}"
            )
        return found


def _service_failure(service: str, provider: Provider, error: BaseException) -> RequestError:
    """Return the error of a service that did not open. It never has the text of an exception of any other class."""
    meant = as_request_error(error)
    if meant is not None and not isinstance(error, ProviderError):
        return meant
    report(f"the service {service!r} ({provider.label}), while opening,", error)
    reason, retryable = (f" {meant.message}", meant.retryable) if meant is not None else ("", False)
    category = error.category if isinstance(error, ProviderError) else None
    text = f"The service {service!r} ({provider.label}) could not be opened.{reason}"
    return _start_failed(text, category, retryable=retryable)


def _start_failed(text: str, category: ProviderCategory | None, *, retryable: bool = False) -> StartFailed:
    """Return the error with its category: a `Failover` reports it, and pauses the provider accordingly."""
    failed = StartFailed(text, retryable=retryable)
    failed.category = category
    return failed


@define(eq=False)
class LiveServices:
    """The open services of one session."""

    core: SessionCore
    opener: Opener = field(init=False)
    #: The services with the providers that clients see, by name. The dict is replaced and not changed, once it is full.
    open: dict[str, OpenService] = field(factory=dict[str, OpenService])
    _retired: list[OpenService] = field(factory=list[OpenService])
    _changing: anyio.Lock | None = None

    def begin(self, keepers: TaskGroup) -> None:
        """Prepare to open services. `keepers` are the tasks that hold them open."""
        start, shared = self.core.start, self.core.shared
        options, seconds = start.service_options, shared.limits.open_seconds
        self.opener = Opener(keepers, start.keys, options, shared.lifespans, seconds, start.hide, shared.key_checks)

    @property
    def lock(self) -> anyio.Lock:
        """Return the lock that is held while services open, so that changes are made one after the other."""
        if self._changing is None:  # a lock is made in an event loop
            self._changing = anyio.Lock()
        return self._changing

    def replace(self, service: str, opened: OpenService) -> None:
        self.open = {**self.open, service: opened}

    def retire(self, opened: OpenService) -> None:
        """Close a replaced service, once the current turn no longer uses it."""
        turn, tasks = self.core.turns.current, self.core.tasks
        if (turn is not None and opened in turn.live.values()) or tasks is None:
            self._retired.append(opened)
        else:
            tasks.start_soon(opened.close, self.core.shared.limits.close_seconds)

    def close_retired(self) -> None:
        retired, self._retired = self._retired, []
        for opened in retired:
            self.retire(opened)

    async def close(self) -> None:
        """Close all services, the one that was opened last first. One that takes too long is cancelled."""
        for opened in [each for each in reversed(self.opener.opened) if not each.abandoned]:
            await opened.close(self.core.shared.limits.close_seconds)

    @property
    def unclosed(self) -> list[str]:
        """Return the names of services that were cancelled because they took too long, and still run."""
        return [each.name for each in self.opener.opened if each.abandoned] if hasattr(self, "opener") else []
