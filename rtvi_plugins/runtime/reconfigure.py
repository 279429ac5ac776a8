"""The services and options of one session, and every way in which they change.

A change is prepared, new providers are opened and set up, and only then is anything replaced. The current turn ends
with the old values: unless the change interrupts it, groups are set and replaced services are closed at the turn
boundary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from attrs import define, field

from ..errors import BotError, RequestError
from ..protocol.config import ConfigChange, ConfigChanges, is_same
from ..protocol.offer import OptionGroup
from ..protocol.requests import Request, UpdateConfig
from ..registry.registry import PROVIDER
from .failover import Failovers
from .live_services import LiveServices
from .option_groups import AppliedOptions, arguments_of, set_group_error
from .services import OpenService
from .session_core import SessionCore

__all__ = ("ConfigUpdates",)

#: How much longer a value can be in an answer than in its message, such as 1e15. Defaults that are added do not count.
_MOST_GROWTH = 6

log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class _NewServices:
    """The services that were opened for one change, and the values that each group of theirs was set to."""

    opened: dict[str, OpenService] = field(factory=dict[str, OpenService])
    values: dict[OptionGroup, dict[str, Any]] = field(factory=dict[OptionGroup, "dict[str, Any]"])


@define(eq=False)
class ConfigUpdates:
    """The changes of one session's config, from its client and from the bot."""

    core: SessionCore
    services: LiveServices
    #: Ends the session with an error.
    fail: Callable[[RequestError], None]
    #: The replacements, and which of them serve.
    failovers: Failovers = field(init=False)
    _changes: ConfigChanges = field(init=False)
    _applied: AppliedOptions = field(init=False)
    _queued_updates: list[Request] = field(factory=list[Request])
    #: Services that could not be set back, until they are open again.
    _broken_services: set[str] = field(factory=set[str])

    def __attrs_post_init__(self) -> None:
        core = self.core
        self._changes = ConfigChanges(partial(core.shared.offers.get, grants=core.start.grants), core.start.defaults)
        self._applied = AppliedOptions(core, self.services, self._replace_broken)
        self.failovers = Failovers(core, self.services, self._applied, self._changes)

    # ---- changes from the client -----------------------------------------------------------------------------------

    def update(self, update: UpdateConfig) -> None:
        """Make a change at once if it opens no service and no other change is in progress; or else after the others."""
        change: ConfigChange | None = None
        last_input = self.core.turns.inputs.added
        if self._queued_updates:
            self._queued_updates = [each for each in self._queued_updates if each.is_pending]
        if not self._queued_updates and not self._broken_services and not self.services.lock.statistics().locked:
            change = self._prepare_update(update)
            if change is None:
                return
            if not change.switched:
                return self._commit_update(update, change, _NewServices(), last_input)
        self._queued_updates.append(update.request)
        update.request.work = self.core.workers.submit(partial(self._update_in_turn, update, change, last_input))
        return None

    def _prepare_update(self, update: UpdateConfig, prepared: ConfigChange | None = None) -> ConfigChange | None:
        """Return the change. One that was prepared before is used again if the config is still the same.

        Return None for an invalid change, after answering its request.
        """
        if prepared is not None and prepared.base is self.core.config.values:
            return prepared
        protocol, limits = self.core.protocol, self.core.shared.limits
        try:
            change = self._changes.prepare(update.sent, self.core.config.values, protocol.offer, update.path)
            # Hardly any config is so long, and to encode each of them twice would take as long as the change.
            if protocol.config_length + _MOST_GROWTH * limits.message_size > limits.outbox_size:
                protocol.check_answer(update.request, change)
            return change
        except RequestError as error:
            self.core.outbox.fail(update.request, error)
            return None

    async def _update_in_turn(self, update: UpdateConfig, prepared: ConfigChange | None, last_input: int) -> None:
        new = _NewServices()
        try:
            async with self.services.lock:
                change = self._prepare_update(update, prepared)
                if change is not None:
                    await self._open_switched(change, new)
                    # While the services opened, a turn may have ended and a deferred change may have failed.
                    change = self._prepare_update(update, change)
                    if change is not None:
                        self._commit_update(update, change, new, last_input)
        except RequestError as error:
            self.core.outbox.fail(update.request, error)
        finally:
            self._retire_unused(new)

    def _commit_update(self, update: UpdateConfig, change: ConfigChange, new: _NewServices, last_input: int) -> None:
        """Make a change and answer. After the request's deadline, nothing is changed any more.

        `last_input` is the number of the last input that had come before the request.
        """
        if not update.request.is_pending:
            return
        for each in change.old_names:
            self.core.protocol.on_old_name(each)
        if update.interrupt:
            self._interrupt(last_input)
        now = self._is_free(update.interrupt)
        if now and self._apply_deferred():
            # The change may depend on a deferred value that was taken back.
            again = self._prepare_update(update, change)
            if again is None:
                return None
            change = again
        error = self._install_change(change, new, by="client", now=now)
        if error is not None:
            return self.core.outbox.fail(update.request, error)
        try:
            text = self.core.protocol.config(update.request, applies="now" if now else "next-turn")
        except RequestError as too_long:
            return self.core.outbox.fail(update.request, too_long)
        return self.core.outbox.answer(update.request, text)

    # ---- changes from the bot --------------------------------------------------------------------------------------

    async def configure(self, sent: Any, *, interrupt: bool) -> None:
        """Set options by service, in their JSON form, and send the config to the client."""
        new, last_input = _NewServices(), self.core.turns.inputs.added
        try:
            async with self.services.lock:
                change = self._prepare_own(sent)
                await self._open_switched(change, new)
                if interrupt:
                    self._interrupt(last_input)
                now = self._is_free(interrupt)
                if now:
                    self._apply_deferred()
                if change.base is not self.core.config.values:
                    change = self._prepare_own(sent)
                error = self._install_change(change, new, by="bot", now=now)
        finally:
            self._retire_unused(new)
        if error is not None:
            raise error
        self._push_config(applies="now" if now else "next-turn")

    def _prepare_own(self, sent: Any) -> ConfigChange:
        """Return the change. Invalid names and values are mistakes of the bot's author, and no client's."""
        try:
            return self._changes.prepare(sent, self.core.config.values, self.core.protocol.offer, "$", by_bot=True)
        except RequestError as error:
            raise BotError(f"session.configure(): {error.message}") from None

    def _interrupt(self, last_input: int) -> None:
        """Interrupt the turn, unless it answers an input that has come since, while services opened."""
        if self.core.turns.inputs.last_taken <= last_input:
            self.core.turns.interrupt()

    def _is_free(self, interrupted: bool) -> bool:
        """Return whether no turn holds the old values. A turn that cannot be interrupted holds them to its end."""
        turn = self.core.turns.current
        return turn is None or (interrupted and turn.interrupted)

    # ---- making a change -------------------------------------------------------------------------------------------

    async def _open_switched(self, change: ConfigChange, new: _NewServices) -> None:
        """Open the new providers and set their options. Nothing of the session changes yet."""
        for service in change.switched:
            new.opened[service] = await self.services.opener.open(service, change.offer.chosen[service])
            self._set_new(change, new)

    def _set_new(self, change: ConfigChange, new: _NewServices) -> None:
        """Set the options of new services, except the groups that were set to the same values before.

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

    def _install_change(
        self, change: ConfigChange, new: _NewServices, *, by: Literal["client", "bot"], now: bool
    ) -> RequestError | None:
        """Make a change, at once or at the turn boundary. If an options function raises, nothing has changed."""
        core, services, applied = self.core, self.services, self._applied
        before, offer, old = core.config.values, core.protocol.offer, services.open

        def undo() -> None:
            services.open, core.protocol.offer = old, offer
            core.config.undo(before)

        self._set_new(change, new)
        core.config.commit(change.values)
        core.protocol.offer = change.offer
        services.open = {**old, **new.opened}
        groups = [each for each in change.groups if each.service not in new.opened or not each.sets_service]
        if now and (failed := applied.apply(groups, change.values, undo, change.changed)) is not None:
            return failed
        deferred = dict.fromkeys(change.changed)
        for service in new.opened:
            defaults = core.start.defaults.of(service, change.offer.providers[service])
            kept = applied.replaced(service, offer, change.values if now else {**change.values, service: defaults})
            names = (name for group in groups if group.service == service for name in group.options)
            # Their value may be the config's already: one that was deferred for the old provider, and never set.
            deferred |= dict.fromkeys((service, name) for name in names if name not in kept)
            services.retire(old[service])
            self.failovers.switched(service)
        if not now:
            applied.defer(deferred, groups)
        revision = core.config.revision
        changed = {f"{service}.{name}": change.values[service][name] for service, name in change.changed}
        core.shared.hooks.notify("config_committed", session=core.session, revision=revision, changed=[*changed])
        if core.history is not None:
            switched = {f"{service}.{PROVIDER}": change.offer.providers[service] for service in change.switched}
            core.history.configured(by, {**switched, **changed}, revision)
        return None

    # ---- services that are replaced --------------------------------------------------------------------------------

    def _replace_broken(self, service: str) -> None:
        """Reopen a service that could not be set back to its old options."""
        if service not in self._broken_services:
            self._broken_services.add(service)
            self.core.workers.submit(partial(self._reopen, service, self.services.open[service]))

    async def _reopen(self, service: str, broken: OpenService) -> None:
        try:
            await self._applied.reopen(service, broken)
        except RequestError as error:
            return self.fail(error)
        finally:
            self._broken_services.remove(service)
        if self.core.turns.current is None:
            self._apply_deferred()
        return None

    def turn_boundary(self) -> None:
        """Make the deferred changes and close replaced services. Called before and after each turn."""
        self._apply_deferred()
        self.services.close_retired()

    def _apply_deferred(self) -> bool:
        """Make the deferred changes. Return whether one failed and was taken back."""
        if self._broken_services:
            return False  # they are made once the broken service is open again
        failed = self._applied.apply_deferred()
        for error in failed:  # the requests were answered before
            self.core.outbox.report(error, fatal=False)
        if failed:
            self._push_config()
        return bool(failed)

    def _push_config(self, **more: Any) -> None:
        if not self.core.protocol.ready:
            return  # the client reads the config in `bot-ready`, or asks for it
        try:
            self.core.outbox.put(self.core.protocol.config(None, **more))
        except RequestError as too_long:
            self.core.outbox.report(too_long, fatal=False)

    def _retire_unused(self, new: _NewServices) -> None:
        for each in new.opened.values():
            if each is not self.services.open.get(each.service):
                self.services.retire(each)
