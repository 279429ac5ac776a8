"""Let the next provider of a `Failover` serve when one fails, for all services of one session.

The chosen provider stays the one that clients see: its options and actions do not change. Another one that serves
meanwhile is its *replacement*. It is opened when it is first needed, and set to its own values of the config. A
conversation loop gets the *alternatives* of a service: which provider serves one use of it, such as a turn, and which
one serves if that fails.

The module has more than 300 lines because choosing an alternative and opening it depend on each other.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, final

from attrs import define, field

from ..declare.specs import ActionSpec, Choice
from ..errors import MissingKey, ProviderError, RequestError, StartFailed, report
from ..protocol.config import ConfigChanges, is_same
from ..protocol.offer import OptionGroup
from ..registry.registry import Provider
from ..session import Alternatives
from .live_services import LiveServices
from .option_groups import AppliedOptions, arguments_of
from .provider_health import Used
from .services import OpenService
from .session_core import SessionCore

__all__ = ("Failovers", "alternatives_of")

# ---- replacements ----------------------------------------------------------------------------------------------------

log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class _Replacement:
    """A replacement that is open, and the arguments that each group of its options was set to."""

    opened: OpenService
    set_to: dict[OptionGroup, Mapping[str, Any]] = field(factory=dict[OptionGroup, "Mapping[str, Any]"])


@define(eq=False)
class Failovers:
    """The replacements of one session, and which of them serve."""

    core: SessionCore
    services: LiveServices
    applied: AppliedOptions
    changes: ConfigChanges
    #: The replacements that serve, by service.
    serving: dict[str, OpenService] = field(factory=dict[str, OpenService])
    _open_replacements: dict[tuple[str, str], _Replacement] = field(factory=dict[tuple[str, str], _Replacement])
    #: The category of the last failure of a service in this session.
    why: dict[str, str] = field(factory=dict[str, str])
    #: Providers of services for which this session has no key.
    _keyless: set[tuple[str, str]] = field(factory=set[tuple[str, str]])
    _used_providers: dict[tuple[str, str], Used] = field(factory=dict[tuple[str, str], Used])
    #: Services whose chosen provider is being opened again.
    _reopening: set[str] = field(factory=set[str])

    @property
    def in_use(self) -> Mapping[str, OpenService]:
        return {**self.services.open, **self.serving} if self.serving else self.services.open

    def for_action(self, service: str, spec: ActionSpec) -> OpenService:
        """Return the service for an action: the one that serves if it has the action, or else the chosen one."""
        found = self.serving.get(service)
        own = found is not None and found.provider.actions.get(spec.name) is spec
        return found if found is not None and own else self.services.open[service]

    def choice(self, service: str) -> Choice:
        """Return the present choice of a service: its provider, and those that take over."""
        chosen = self.core.protocol.offer.providers[service]
        found = self.core.shared.offers.registry.services[service].chosen_from.get(chosen)
        return found if found is not None and len(found.labels) > 1 else Choice((chosen,))

    def present(self, service: str) -> OpenService:
        """Return the service that serves now, also within a turn."""
        turn = self.core.turns.current
        return (turn.live if turn is not None else self.in_use)[service]

    def used_of(self, service: str, label: str) -> Used:
        """Return a provider with the keys and service options of this session."""
        key = service, label
        if key not in self._used_providers:  # to find a key may take a while
            provider = self._provider(service, label)
            fingerprint, is_shared = self.services.opener.fingerprint(service, provider)
            self._used_providers[key] = Used(
                f"{provider.spec.kind}.{label}", provider.spec.function, fingerprint, is_shared
            )
        return self._used_providers[key]

    def may_use(self, service: str, label: str) -> bool:
        """Return whether a provider works, as far as anybody knows, or may be tried again now."""
        return (service, label) not in self._keyless and self.core.shared.health.may_use(self.used_of(service, label))

    def _provider(self, service: str, label: str) -> Provider:
        return self.core.shared.offers.registry.services[service].providers[label]

    # ---- opening ---------------------------------------------------------------------------------------------------

    async def open_all(self) -> None:
        """Open the services in the order of the bot's parameters, and set all options. Raise a `RequestError`."""
        for service in self.core.shared.offers.registry.services:
            await self._open_first(service)
        for group in self.core.protocol.offer.groups.values():
            self.applied.set_first(group)

    async def _open_first(self, service: str) -> None:
        """Open the chosen provider of a service. If it fails, open an alternative."""
        chosen, *others = self.choice(service).labels
        provider, services = self._provider(service, chosen), self.services
        if not others:
            services.open[service] = await services.opener.open(service, provider)
            return
        failed: RequestError | None = None
        if self.may_use(service, chosen):
            try:
                with self._trial(service, chosen):
                    services.open[service] = await services.opener.open(service, provider)
                return
            except RequestError as error:
                self._note_unopened(service, chosen, failed := error)
        services.open[service] = OpenService.down(service, provider)
        for label in sorted(others, key=lambda each: not self.may_use(service, each)):
            if await self.use(service, label, is_last=False):
                return
        if failed is not None:
            raise failed
        services.open[service] = await services.opener.open(service, provider)

    async def _reopen(self, service: str) -> None:
        """Open the chosen provider that could not be opened, or that has died."""
        old, chosen = self.services.open[service], self.core.protocol.offer.providers[service]
        try:
            if not old.is_up:
                with self._trial(service, chosen):
                    await self.applied.reopen(service, old)
        except RequestError as error:
            self._note_unopened(service, chosen, error)
        finally:
            self._reopening.discard(service)

    def _reopen_soon(self, service: str) -> None:
        if service not in self._reopening and self.core.tasks is not None:
            self._reopening.add(service)
            self.core.workers.submit(partial(self._reopen, service), later=True)

    # ---- changing what serves --------------------------------------------------------------------------------------

    async def use(self, service: str, label: str, *, is_last: bool) -> bool:
        """Let a provider serve from now on. Return False if it cannot be opened.

        Nobody waits for the chosen provider to open again, unless it `is_last`.
        """
        if label != self.core.protocol.offer.providers[service]:
            opened = await self._replacement(service, label)
        else:
            if not self.services.open[service].is_up and is_last:
                await self._reopen(service)
            opened = self.services.open[service]
            if not opened.is_up and not is_last:
                self._reopen_soon(service)
        if opened is None or not opened.is_up:
            return False
        self.core.shared.health.begin(self.used_of(service, label))
        self._serve(service, opened)
        return True

    def _serve(self, service: str, opened: OpenService) -> None:
        before, turn = self.present(service), self.core.turns.current
        if opened is self.services.open[service]:
            self.serving.pop(service, None)
        else:
            self.serving[service] = opened
        if turn is not None:
            turn.live = {**turn.live, service: opened}
        if opened.provider.label != before.provider.label:
            self._report_change(service)

    def _report_change(self, service: str) -> None:
        if not self.core.protocol.ready:
            return
        label, chosen = self.present(service).provider.label, self.core.protocol.offer.providers[service]
        why = self.core.shared.health.category(self.used_of(service, chosen)) or self.why.get(service, "unavailable")
        facts = {"service": service, "provider": label, "chosen": chosen, "category": None if label == chosen else why}
        self.core.outbox.send("server-message", {"type": "failover", **facts})
        self.core.shared.hooks.notify("provider_changed", session=self.core.session, **facts)

    def report_all(self) -> None:
        """Report the replacements that serve: the client has just become ready."""
        for service in self.serving:
            self._report_change(service)

    def switched(self, service: str) -> None:
        """Note that another provider was chosen: close the replacements that are not among its alternatives."""
        if self.serving.pop(service, None) is not None:
            self._report_change(service)
        labels = self.choice(service).labels[1:]
        for key in [key for key in self._open_replacements if key[0] == service and key[1] not in labels]:
            self.services.retire(self._open_replacements.pop(key).opened)

    # ---- replacements ------------------------------------------------------------------------------------------------

    async def _replacement(self, service: str, label: str) -> OpenService | None:
        """Return an open replacement, set to the values of the config; None if it cannot be opened."""
        key = service, label
        found = self._open_replacements.get(key)
        if found is None or not found.opened.is_up:
            try:
                with self._trial(service, label):
                    opened = await self.services.opener.open(service, self._provider(service, label))
            except RequestError as error:
                self._note_unopened(service, label, error)
                return None
            chosen, *others = self.choice(service).labels
            if label not in others:  # another provider was chosen meanwhile, perhaps this one
                self.services.retire(opened)
                return self.services.open[service] if label == chosen else None
            other = self._open_replacements.get(key)
            if other is not None and other.opened.is_up:  # somebody else has opened it meanwhile
                self.services.retire(opened)
                found = other
            else:
                found = self._open_replacements[key] = _Replacement(opened)
        try:
            self._set_replacement(service, label, found)
        except Exception as error:
            report(f"the replacement {service}.{label}, while its options were set,", error)
            self.services.retire(self._open_replacements.pop(key).opened)
            return None
        return found.opened

    def _set_replacement(self, service: str, label: str, replacement: _Replacement) -> None:
        """Set the options of a replacement: the options of its kind as they are now, its own to their defaults."""
        offer, values = self.core.protocol.offer, self.applied.values
        own = self.changes.offer_of({**offer.providers, service: label})
        values = {**values, service: self.changes.started(values, offer, own, service)}
        for group in own.groups.values():
            if group.service == service and group.sets_service:
                arguments = arguments_of(group, values)
                if not is_same(replacement.set_to.get(group), arguments):
                    self.applied.set_group(group, replacement.opened, arguments)
                    replacement.set_to[group] = arguments

    @contextmanager
    def _trial(self, service: str, label: str) -> Generator[None]:
        """Let no other session open a failing provider during the block, which opens it."""
        used = self.used_of(service, label)
        self.core.shared.health.begin(used)
        yield
        self.core.shared.health.opened(used)

    def _note_unopened(self, service: str, label: str, error: RequestError) -> None:
        """Note that a provider could not be opened. One without a key is not a failure of its vendor."""
        if isinstance(error, MissingKey):
            self._keyless.add((service, label))
            log.info("%s.%s is left out. %s", service, label, error.message, extra={"code": error.code})
        else:
            category = error.category if isinstance(error, StartFailed) else None
            failure = ProviderError(label, category or "unavailable")
            self.core.shared.health.failed(self.used_of(service, label), failure)


# ---- alternatives --------------------------------------------------------------------------------------------------


def alternatives_of(failovers: Failovers, service: str | None) -> Alternatives:
    """Return the `Alternatives` for one use of a service. They do nothing if it has no `Failover`."""
    if service is None or failovers.choice(service).seconds is None:
        return _NoAlternatives(failovers, service)
    return _SessionAlternatives(failovers, service, failovers.core.shared.health.noted)


@final
@define(eq=False)
class _NoAlternatives(Alternatives):
    """Those of a service with one provider, or of an object that is not a service."""

    _failovers: Failovers
    _service: str | None

    @property
    def provider(self) -> str | None:
        return None if self._service is None else self._failovers.present(self._service).provider.label

    @property
    def exist(self) -> bool:
        return False


#: Another vendor would not accept such a request either. And any client can send such a request on purpose.
_OF_THE_REQUEST: Final = "bad-request"

#: An empty answer says nothing about the vendor.
_OF_THE_ANSWER: Final = "no-answer"


@final
@define(eq=False)
class _SessionAlternatives(Alternatives):
    """Those of a service of one session, for one use of it."""

    _failovers: Failovers
    _service: str
    #: The value of `Health.noted` when the present attempt began.
    _began: int
    #: The providers that have failed in this use.
    _tried_providers: set[str] = field(factory=set[str])
    #: The provider of the present attempt. None before `choose`.
    _used: str | None = None
    #: How often its provider had failed before it began to answer.
    _failed_before: int = 0

    @property
    def provider(self) -> str | None:
        return self._label

    @property
    def exist(self) -> bool:
        return True

    @property
    def seconds(self) -> float | None:
        choice, present = self._failovers.choice(self._service), self._label
        return (
            choice.seconds
            if any(each not in self._tried_providers and each != present for each in choice.labels)
            else None
        )

    @property
    def _label(self) -> str:
        return self._failovers.present(self._service).provider.label

    async def choose(self) -> None:
        """Let the first provider serve that works. Within one use, only a failure changes it."""
        if self._used is None or self._label in self._tried_providers:
            await self._choose()
        self._begin(self._label)

    def _begin(self, label: str) -> None:
        self._used, self._began, self._failed_before = label, self._failovers.core.shared.health.noted, 0

    async def _choose(self) -> None:
        every, service = self._failovers, self._service
        if every.core.shared.health.is_good and service not in every.serving and every.services.open[service].is_up:
            return
        for label in self._untried():
            if every.may_use(service, label) and await every.use(service, label, is_last=False):
                return

    async def failed(self, error: ProviderError, *, replace: bool = True) -> bool:
        """Note the failure, and let the next provider serve: one that works, or else any that has not failed here."""
        if error.category == _OF_THE_REQUEST:
            return False
        every, service, present = self._failovers, self._service, self._label
        used = self._used or present
        self._tried_providers.add(used)
        if used == present:
            every.why[service] = error.category
            if error.category != _OF_THE_ANSWER:
                every.core.shared.health.failed(every.used_of(service, present), error, self._failed_before)
        elif replace and present not in self._tried_providers:
            # Another use of the service has replaced the provider since, and has noted its failure.
            self._begin(present)
            return True
        while replace and (left := self._untried()):
            label = next((each for each in left if every.may_use(service, each)), left[0])
            if await every.use(service, label, is_last=len(left) == 1):
                self._begin(label)
                return True
            self._tried_providers.add(label)
        return False

    def answered(self) -> None:
        health = self._failovers.core.shared.health
        if not health.is_good:
            used = self._failovers.used_of(self._service, self._used or self._label)
            self._failed_before = self._failed_before or health.worked(used, self._began)

    def _untried(self) -> list[str]:
        return [each for each in self._failovers.choice(self._service).labels if each not in self._tried_providers]
