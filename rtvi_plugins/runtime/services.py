"""Open the services of a session, each in a task of its own.

A bot holds a `Handle`, which forwards to the service that is in use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, cast

import anyio
from anyio.abc import TaskGroup
from attrs import define, field
from typing_extensions import get_protocol_members

from ..declare.specs import LifespanValue, SecretSpec
from ..errors import MissingKey, ProviderError, RequestError, StartFailed, report
from ..kinds import ChecksKey, ListeningSTT
from ..protocol.operator_fields import Keys, key_variable
from ..registry.registry import Provider
from ..session import Secret
from ..utils.blocked_threads import suspended_at
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import asyncio_task, reraise_control_flow
from .client_errors import as_request_error, with_texts
from .key_checks import KeyChecks
from .lifespans import OpenContext, OpenLifespans
from .service_check import misfit

__all__ = ("Handle", "OpenService", "Opener", "live_service")

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
            raise StartFailed(text, retryable=True) from None
        except BaseException:
            opened.abandon()
            raise
        if opened.error is not None:
            raise self._service_failure(service, provider, opened.error)
        if (problem := _misfit_of(opened.live, provider.spec.protocol)) is not None:
            found, kind = type(opened.live).__name__, provider.spec.protocol.__name__
            await opened.close()
            yields = f"{where(provider.spec.function)} yields {found}, which is no {kind}"
            log.error("The service %r (%s): %s: %s.", service, provider.label, yields, problem)
            raise StartFailed(f"The service {service!r} ({provider.label}) is not what its kind asks for.")
        if self._key_checks is not None:
            refused = await self._key_checks.check_again(provider.spec, self.keys_of(provider), opened.live)
            if refused is not None:
                await opened.close()
                raise StartFailed(f"The service {service!r} ({provider.label}) could not be opened. {refused}")
        return opened

    def manager(self, service: str, provider: Provider) -> AbstractAsyncContextManager[Any]:
        """Return the context manager of a service. Raise `MissingKey`, or what the provider raised."""
        given = [self._injected(provider, each) for each in provider.spec.given]
        try:
            made: AbstractAsyncContextManager[Any] = provider.spec.function(
                *given, **self._service_options.get(f"{service}.{provider.label}", {})
            )
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
            page = f" Keys are made at {provider.spec.key_page}." if provider.spec.key_page else ""
            raise MissingKey(
                f"The provider {provider.label!r} needs the key {parameter.name!r}, and the operator has given none: "
                f"set {variable}, or send it in a trusted start.{page}"
            )
        return found


@define(eq=False, repr=False, init=False)
class OpenService(OpenContext):
    """A service that is open."""

    service: str = field(init=False)
    provider: Provider = field(init=False)

    def __init__(self, service: str, provider: Provider, manager: AbstractAsyncContextManager[Any]) -> None:
        super().__init__(f"the service {service!r} ({provider.label})", manager)
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


def _service_failure(service: str, provider: Provider, error: BaseException) -> RequestError:
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


#: What a service need not have, with the members by which it is recognised: `isinstance` would find them each time.
_OPTIONAL: Final[Mapping[type, frozenset[str]]] = {
    each: frozenset(get_protocol_members(each)) for each in (ListeningSTT, ChecksKey)
}


def _misfit_of(live: object, protocol: type) -> str | None:
    """Return why a service does not follow the Protocol of its kind, or one that it need not have."""
    problem = misfit(live, protocol)
    for optional, members in _OPTIONAL.items():
        if problem is None and all(hasattr(live, name) for name in members):
            problem = misfit(live, optional)
    return problem


def live_service(handle: object) -> Any:
    """Return the live object behind a handle: what the provider has yielded."""
    return handle._find().alive() if type(handle) is Handle else handle  # pyright: ignore[reportPrivateUsage]
