"""The services and options of one session, and every way in which they change.

A change is prepared, new providers are opened and set up, and only then is anything replaced. The current turn ends
with the old values: unless the change interrupts it, groups are set and replaced services are closed at the turn
boundary.

The module has more than 300 lines: updates, switches and reopened services share one lock, one queue and one install.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import BotError, RequestError, StartFailed, report
from ..limits import Limits
from ..protocol.config import ConfigChange, ConfigChanges, SessionConfig, is_same
from ..protocol.offer import Offer, Offers, OptionGroup
from ..protocol.requests import Request, UpdateConfig
from ..protocol.start_request import StartRequest
from ..protocol.state_machine import RTVIProtocol
from ..registry.hooks import Hooks
from ..registry.registry import PROVIDER, Registry
from ..session import Session
from ..utils.error_texts import where
from .failover import Failovers
from .history import History
from .key_checks import KeyChecks
from .lifespans import OpenLifespans
from .option_groups import AppliedOptions, arguments_of, author_sentence, set_group_error
from .outbox import Outbox
from .provider_health import Health
from .services import Opener, OpenService
from .turns import Turns
from .worker_tasks import Workers

__all__ = ("LiveServices",)

log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class _NewServices:
    """The services that were opened for one change, and the values that each group of theirs was set to."""

    opened: dict[str, OpenService] = field(factory=dict[str, OpenService])
    values: dict[OptionGroup, dict[str, Any]] = field(factory=dict[OptionGroup, "dict[str, Any]"])


@define(eq=False)
class LiveServices:
    """The open services of one session, their providers and their config."""

    session: Session
    start: StartRequest
    config: SessionConfig
    protocol: RTVIProtocol
    outbox: Outbox
    turns: Turns
    hooks: Hooks
    offers: Offers
    limits: Limits
    lifespans: OpenLifespans
    key_checks: KeyChecks
    health: Health
    end: Callable[[RequestError], None]
    #: Keeps the changes of the config, if the operator wants it.
    history: History | None = None
    #: The stand-ins, and which of them serve.
    failovers: Failovers = field(init=False)
    _changes: ConfigChanges = field(init=False)
    _opener: Opener = field(init=False)
    _workers: Workers = field(init=False)
    _tasks: TaskGroup | None = None
    _retired: list[OpenService] = field(factory=list[OpenService])
    _applied: AppliedOptions = field(init=False)
    _changing: anyio.Lock | None = None
    _queued: list[Request] = field(factory=list[Request])
    #: Services that could not be set back, until they are open again.
    _broken: dict[str, OpenService] = field(factory=dict[str, OpenService])

    def __attrs_post_init__(self) -> None:
        self._changes = ConfigChanges(partial(self.offers.get, grants=self.start.grants), self.start.defaults)
        self._applied = AppliedOptions(self.session, self.config, self.protocol, self.lifespans, self._replace_broken)
        self.failovers = Failovers(
            self.session,
            self._applied,
            self._changes,
            self.protocol,
            self.outbox,
            self.turns,
            self.hooks,
            self.health,
            lock=self._lock,
            set_first=self._set_all_first,
            retire=self._retire,
            submit=self._submit,
        )

    @property
    def offer(self) -> Offer:
        """Return the offer with the present providers."""
        return self.protocol.offer

    @property
    def registry(self) -> Registry:
        return self.offers.registry

    def offer_again(self) -> None:
        """Make the offer again after the registry has changed. The providers stay the same."""
        self.protocol.offer = self.offers.get(self.offer.providers, self.start.grants)

    # ---- the beginning and the end ---------------------------------------------------------------------------------

    async def open(self, keepers: TaskGroup) -> RequestError | None:
        """Open the services in the order of the bot's parameters, and set all options. Return the error, if any."""
        start = self.start
        self._opener = Opener(
            keepers,
            start.keys,
            start.service_options,
            self.lifespans,
            self.limits.open_seconds,
            start.hide,
            self.key_checks,
        )
        self.failovers.opener = self._opener
        try:
            for service in self.registry.services:
                await self.failovers.open_first(service)
            for group in self.offer.groups.values():
                self._set_first(group)
        except RequestError as error:
            return error
        return None

    def _set_all_first(self, service: str) -> None:
        """Call the options functions that set a service, because it was opened again. Raise `StartFailed`."""
        for group in self.offer.groups.values():
            if group.service == service and group.sets_service:
                self._set_first(group)

    def _set_first(self, group: OptionGroup) -> None:
        try:
            self._applied.set_again(group)
        except Exception as error:
            text = f"The options of the service {group.service!r} could not be set.{author_sentence(error)}"
            if not isinstance(error, RequestError):
                report(where(group.spec.function), error)
            elif self._has_defaults(group.service):
                log.error("%s", text)  # a mistake of the bot's author or the operator, who read the log
            # The client reads the text too, so the operator's own strings are removed.
            raise StartFailed(self.start.hide(text)) from None

    def _has_defaults(self, service: str) -> bool:
        """Return whether the client has changed nothing of a service in its start request."""
        start = self.start
        return start.values[service] == start.defaults.of(service, start.providers[service])

    def serve(self, tasks: TaskGroup, workers: Workers) -> None:
        """Accept changes from now on."""
        self._tasks, self._workers = tasks, workers

    async def close(self) -> None:
        """Close the services in reverse order. One that takes too long is cancelled."""
        self._tasks = None
        for opened in (*self.failovers.opened, *reversed(self._applied.live.values()), *self._retired):
            await opened.close(self.limits.close_seconds)

    @property
    def unclosed(self) -> list[str]:
        """Return the names of services that were cancelled and still run."""
        return [each.name for each in self._opener.unclosed] if hasattr(self, "_opener") else []

    # ---- changes from the client -----------------------------------------------------------------------------------

    def update(self, update: UpdateConfig) -> None:
        """Make a change at once if it opens no service and no other change is in progress, or else in its turn."""
        change: ConfigChange | None = None
        if self._queued:
            self._queued = [each for each in self._queued if each.is_pending]
        if not self._queued and not self._broken and not self._lock().statistics().locked:
            change = self._prepare(update)
            if change is None:
                return
            if not change.switched:
                return self._commit(update, change, _NewServices())
        self._queued.append(update.request)
        update.request.work = self._workers.submit(partial(self._update_in_turn, update, change))
        return None

    def _prepare(self, update: UpdateConfig, prepared: ConfigChange | None = None) -> ConfigChange | None:
        """Return the change. One that was prepared before is used again if the config is still the same.

        Return None for an invalid change, after answering its request.
        """
        if prepared is not None and prepared.base is self.config.values:
            return prepared
        try:
            return self._changes.prepare(update.sent, self.config.values, self.offer, update.path)
        except RequestError as error:
            self.outbox.fail(update.request, error)
            return None

    async def _update_in_turn(self, update: UpdateConfig, prepared: ConfigChange | None) -> None:
        new = _NewServices()
        try:
            async with self._lock():
                change = self._prepare(update, prepared)
                if change is not None:
                    await self._open_switched(change, new)
                    # While the services opened, a turn may have ended and a deferred change may have failed.
                    change = self._prepare(update, change)
                    if change is not None:
                        self._commit(update, change, new)
        except RequestError as error:
            self.outbox.fail(update.request, error)
        finally:
            self._retire_unused(new)

    def _commit(self, update: UpdateConfig, change: ConfigChange, new: _NewServices) -> None:
        """Make a change and answer. After the request's deadline, nothing is changed any more."""
        if not update.request.is_pending:
            return
        for each in change.old_names:
            self.protocol.on_old_name(each)
        if update.interrupt:
            self.turns.interrupt()
        now = self._is_free(update.interrupt)
        if now and self._apply_deferred():
            # The change may depend on a deferred value that was taken back.
            again = self._prepare(update, change)
            if again is None:
                return None
            change = again
        error = self._install(change, new, by="client", now=now)
        if error is not None:
            return self.outbox.fail(update.request, error)
        try:
            text = self.protocol.config(update.request, applies="now" if now else "next-turn")
        except RequestError as too_long:
            return self.outbox.fail(update.request, too_long)
        return self.outbox.answer(update.request, text)

    # ---- changes from the bot --------------------------------------------------------------------------------------

    async def configure(self, sent: Any, *, interrupt: bool) -> None:
        """Set options by service, in their JSON form, and send the config to the client."""
        new = _NewServices()
        try:
            async with self._lock():
                change = self._prepare_own(sent)
                await self._open_switched(change, new)
                if interrupt:
                    self.turns.interrupt()
                now = self._is_free(interrupt)
                if now:
                    self._apply_deferred()
                if change.base is not self.config.values:
                    change = self._prepare_own(sent)
                error = self._install(change, new, by="bot", now=now)
        finally:
            self._retire_unused(new)
        if error is not None:
            raise error
        self._push_config(applies="now" if now else "next-turn")

    def _prepare_own(self, sent: Any) -> ConfigChange:
        """Return the change. Invalid names and values are mistakes of the bot's author, and no client's."""
        try:
            return self._changes.prepare(sent, self.config.values, self.offer, "$", by_bot=True)
        except RequestError as error:
            raise BotError(f"session.configure(): {error.message}") from None

    def _is_free(self, interrupted: bool) -> bool:
        """Return whether no turn holds the old values. A turn that cannot be interrupted holds them to its end."""
        turn = self.turns.current
        return turn is None or (interrupted and turn.interrupted)

    def _lock(self) -> anyio.Lock:
        """Return the lock that is held while services open, so that changes are made one after the other."""
        if self._changing is None:
            self._changing = anyio.Lock()
        return self._changing

    # ---- making a change -------------------------------------------------------------------------------------------

    async def _open_switched(self, change: ConfigChange, new: _NewServices) -> None:
        """Open the new providers and set their options. Nothing of the session changes yet."""
        for service in change.switched:
            new.opened[service] = await self._opener.open(service, change.offer.chosen[service])
            self._set_new(change, new)

    def _set_new(self, change: ConfigChange, new: _NewServices) -> None:
        """Set the options of new services, but for the groups that were set to the same values before.

        The values may have changed while the services opened.
        """
        for group in change.groups:
            if group.sets_service and group.service in new.opened:
                values = {name: change.values[group.service][name] for name in group.options}
                if not is_same(new.values.get(group), values):
                    try:
                        self._applied.set_group(group, new.opened[group.service], arguments_of(group, change.values))
                    except Exception as error:
                        raise set_group_error(group, error) from None
                    new.values[group] = values

    def _install(
        self, change: ConfigChange, new: _NewServices, *, by: Literal["client", "bot"], now: bool
    ) -> RequestError | None:
        """Make a change, at once or at the turn boundary. If an options function raises, nothing has changed."""
        applied, before, offer, live = self._applied, self.config.values, self.protocol.offer, self._applied.live

        def undo() -> None:
            applied.live, self.protocol.offer = live, offer
            self.config.undo(before)

        self._set_new(change, new)
        self.config.commit(change.values)
        self.protocol.offer = change.offer
        applied.live = {**live, **new.opened}
        groups = [each for each in change.groups if each.service not in new.opened or not each.sets_service]
        if now and (failed := applied.apply(groups, change.values, undo, change.changed)) is not None:
            return failed
        deferred = dict.fromkeys(change.changed)
        for service in new.opened:
            defaults = self.start.defaults.of(service, change.offer.providers[service])
            kept = applied.replaced(service, offer, change.values if now else {**change.values, service: defaults})
            names = (name for group in groups if group.service == service for name in group.options)
            # Their value may be the config's already: one that was deferred for the old provider, and never set.
            deferred |= dict.fromkeys((service, name) for name in names if name not in kept)
            self._retire(live[service])
            self.failovers.switched(service)
        if not now:
            applied.defer(deferred, groups)
        revision = self.config.revision
        changed = {f"{service}.{name}": change.values[service][name] for service, name in change.changed}
        self.hooks.notify("config_committed", session=self.session, revision=revision, changed=[*changed])
        if self.history is not None:
            switched = {f"{service}.{PROVIDER}": change.offer.providers[service] for service in change.switched}
            self.history.configured(by, {**switched, **changed}, revision)
        return None

    # ---- services that are replaced --------------------------------------------------------------------------------

    def _replace_broken(self, service: str) -> None:
        """Reopen a service that could not be set back to its old options."""
        if service not in self._broken:
            self._broken[service] = self._applied.live[service]
            self._workers.submit(partial(self._reopen, service))

    async def _reopen(self, service: str) -> None:
        applied = self._applied
        try:
            async with self._lock():
                broken = self._broken[service]
                if applied.live[service] is broken:
                    opened = await self._opener.open(service, self.offer.chosen[service])
                    applied.live = {**applied.live, service: opened}
                    self._retire(broken)
                    self._set_all_first(service)
        except RequestError as error:
            return self.end(error)
        finally:
            del self._broken[service]
        if self.turns.current is None:
            self._apply_deferred()
        return None

    def _submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._tasks is not None:
            self._workers.submit(work, later=True)

    def turn_boundary(self) -> None:
        """Make the deferred changes and close replaced services. Called before and after each turn."""
        self._apply_deferred()
        retired, self._retired = self._retired, []
        for opened in retired:
            self._retire(opened)

    def _apply_deferred(self) -> bool:
        """Make the deferred changes. Return whether one failed and was taken back."""
        if self._broken:
            return False  # they are made once the broken service is open again
        failed = self._applied.apply_deferred()
        for error in failed:  # the requests were answered before
            self.outbox.report(error, fatal=False)
        if failed:
            self._push_config()
        return bool(failed)

    def _push_config(self, **more: Any) -> None:
        if not self.protocol.ready:
            return  # the client reads the config in `bot-ready`, or asks for it
        try:
            self.outbox.put(self.protocol.config(None, **more))
        except RequestError as too_long:
            self.outbox.report(too_long, fatal=False)

    def _retire(self, opened: OpenService) -> None:
        """Close a replaced service, once the current turn no longer uses it."""
        turn = self.turns.current
        if (turn is not None and opened in turn.live.values()) or self._tasks is None:
            self._retired.append(opened)
        else:
            self._tasks.start_soon(opened.close, self.limits.close_seconds)

    def _retire_unused(self, new: _NewServices) -> None:
        for each in new.opened.values():
            if each is not self._applied.live.get(each.service):
                self._retire(each)
