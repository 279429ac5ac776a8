"""The services and options of one session as they are in force, and every way in which they change.

A change is prepared (`_config`), new providers are opened and set up, and only then is anything replaced. What is
being spoken is finished with the old values: groups are set (`_applied`), and services that were replaced are closed,
at the end of the turn, unless the change interrupts it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import InvalidConfig, RequestError, StartFailed, report, unknown, where
from ..limits import Limits
from ..protocol.config import Config, GroupCall, Plan, every_group
from ..protocol.offer import Offer, Offers
from ..protocol.operations import UpdateConfig
from ..protocol.protocol import RTVIProtocol
from ..protocol.requests import Request
from ..protocol.start import StartPlan
from ..registry.hooks import Hooks
from ..registry.registry import Registry
from ..session import Session
from .deferred import Applied, reason, refused
from .outbox import Outbox
from .services import Opener, OpenService
from .turns import Turns
from .workers import Workers

__all__ = ("Settings",)

log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class Settings:
    """Who fills the services of a session, and with what values."""

    session: Session
    plan: StartPlan
    config: Config
    protocol: RTVIProtocol
    outbox: Outbox
    turns: Turns
    hooks: Hooks
    offers: Offers
    limits: Limits
    end: Callable[[RequestError], None]
    live: dict[str, OpenService] = field(factory=dict[str, OpenService])
    _opener: Opener = field(init=False)
    _workers: Workers = field(init=False)
    _tasks: TaskGroup | None = None
    _retired: list[OpenService] = field(factory=list[OpenService])
    _applied: Applied = field(init=False)
    _changing: anyio.Lock | None = None
    _queued: list[Request] = field(factory=list[Request])
    #: Services that could not be set back, until they are open again.
    _broken: dict[str, OpenService] = field(factory=dict[str, OpenService])

    def __attrs_post_init__(self) -> None:
        self._applied = Applied(
            self.session, self.config, lambda: self.offer, lambda service: self.live[service], self._replace_broken
        )

    @property
    def offer(self) -> Offer:
        """What the client is offered with the providers that are in force."""
        return self.protocol.offer

    @property
    def registry(self) -> Registry:
        return self.offers.registry

    # ---- the beginning and the end ---------------------------------------------------------------------------------

    async def open(self, keepers: TaskGroup) -> RequestError | None:
        """Open the services in the order of the bot's parameters, and set all options; or say why that failed."""
        self._opener = Opener(
            keepers, self.plan.keys, self.plan.service_options, self.limits.open_seconds, self.plan.hide
        )
        try:
            for service in self.registry.services:
                self.live[service] = await self._opener.open(service, self.offer.provider(service))
            for call in every_group(self.offer):
                self._set_first(call)
        except RequestError as error:
            return error
        return None

    def _set_first(self, call: GroupCall) -> None:
        try:
            self._applied.set_again(call)
        except Exception as error:
            text = f"The options of the service {call.service!r} could not be set.{reason(error)}"
            if not isinstance(error, RequestError):
                report(where(call.group.function), error)
            elif self._is_as_written(call.service):
                log.error("%s", text)  # no client's mistake, so those who made it have to read of it here
            # The client reads it too, and what the operator wrote is not for the client.
            raise StartFailed(self.plan.hide(text)) from None

    def _is_as_written(self, service: str) -> bool:
        """Whether a service starts from what its bot and its operator wrote, and nothing else."""
        plan = self.plan
        return plan.values[service] == plan.layers(service, plan.providers[service])

    def serve(self, tasks: TaskGroup, workers: Workers) -> None:
        """The session runs: changes may be made from now on."""
        self._tasks, self._workers = tasks, workers

    async def close(self) -> None:
        """Close the services, the last opened first; one that takes too long is cancelled, and waited for."""
        self._tasks = None
        for opened in (*reversed(self.live.values()), *self._retired):
            await opened.close(self.limits.close_seconds)

    @property
    def unclosed(self) -> list[str]:
        """The names of services that were cancelled and have not ended."""
        return [each.name for each in self._opener.unclosed] if hasattr(self, "_opener") else []

    # ---- changes that a client asks for ----------------------------------------------------------------------------

    def update(self, update: UpdateConfig) -> None:
        """Make a change at once where nothing has to be waited for, or else in its turn."""
        self._queued = [each for each in self._queued if each.is_pending]
        if not self._queued and not self._broken and not self._lock().statistics().locked:
            plan = self._prepare(update)
            if plan is None:
                return
            if not plan.switched:
                return self._commit(update, plan, {})
        self._queued.append(update.request)
        update.request.work = self._workers.submit(partial(self._update_in_turn, update))
        return None

    def _prepare(self, update: UpdateConfig) -> Plan | None:
        try:
            return self.config.prepare(update.sent, self.offer, self.plan.layers, update.path)
        except RequestError as error:
            self.outbox.fail(update.request, error)
            return None

    async def _update_in_turn(self, update: UpdateConfig) -> None:
        opened: dict[str, OpenService] = {}
        try:
            async with self._lock():
                plan = self._prepare(update)
                if plan is not None:
                    await self._open_switched(plan, opened)
                    # While they opened, a turn may have ended, and something may have been taken back.
                    again = self._prepare(update)
                    if again is not None:
                        self._commit(update, again, opened)
        except RequestError as error:
            self.outbox.fail(update.request, error)
        finally:
            self._retire_unused(opened)

    def _commit(self, update: UpdateConfig, plan: Plan, opened: Mapping[str, OpenService]) -> None:
        """Make a plan real, and answer. A request that ran into its deadline changes nothing any more."""
        if not update.request.is_pending:
            return
        if update.interrupt:
            self.turns.interrupt()
        now = self._is_free(update.interrupt)
        if now and self._apply_waiting():
            # What was taken back may be what this change stands on.
            again = self._prepare(update)
            if again is None:
                return None
            plan = again
        error = self._install(plan, opened, now=now)
        if error is not None:
            return self.outbox.fail(update.request, error)
        try:
            text = self.protocol.config(update.request, applies="now" if now else "next-turn")
        except RequestError as too_long:
            return self.outbox.fail(update.request, too_long)
        return self.outbox.answer(update.request, text)

    # ---- changes that a bot asks for -------------------------------------------------------------------------------

    async def switch(self, service: str, provider: str, *, interrupt: bool) -> None:
        """Put another provider in the place of a service's, and push the config."""
        known = self.registry.services
        if service not in known:
            raise InvalidConfig([unknown("service", service, known)])
        if provider not in known[service].providers:
            raise InvalidConfig([unknown(f"{service} provider", provider, known[service].providers)])
        opened: dict[str, OpenService] = {}
        try:
            async with self._lock():
                offer = self._offer_of({**self.offer.providers, service: provider})
                plan = self.config.switch(self.offer, offer, self.plan.layers)
                await self._open_switched(plan, opened)
                if interrupt:
                    self.turns.interrupt()
                now = self._is_free(interrupt)
                if now:
                    self._apply_waiting()
                plan = self.config.switch(self.offer, offer, self.plan.layers)
                error = self._install(plan, opened, now=now)
        finally:
            self._retire_unused(opened)
        if error is not None:
            raise error
        self._push_config()

    def _is_free(self, interrupted: bool) -> bool:
        """Whether no turn keeps the old values; one that may not be interrupted keeps them to its end."""
        turn = self.turns.current
        return turn is None or (interrupted and turn.interrupted)

    def _lock(self) -> anyio.Lock:
        """Held while services are being opened for a change, so that changes are made one after the other."""
        if self._changing is None:
            self._changing = anyio.Lock()
        return self._changing

    # ---- putting a plan in force -----------------------------------------------------------------------------------

    def _offer_of(self, providers: Mapping[str, str]) -> Offer:
        return self.offers.get(providers, self.plan.grants)

    async def _open_switched(self, plan: Plan, opened: dict[str, OpenService]) -> None:
        """Open the new providers and set their options; nothing of the session has been touched yet."""
        offer, config = self._offer_of(plan.providers), Config(plan.values)
        for service in plan.switched:
            provider = offer.provider(service)
            opened[service] = await self._opener.open(service, provider)
            for call in plan.calls:
                if call.service == service and provider.sets(call.group):
                    self._set_new(call, opened[service], config.arguments(call, provider))

    def _set_new(self, call: GroupCall, opened: OpenService, arguments: Mapping[str, Any]) -> None:
        try:
            self._applied.call(call, opened, arguments)
        except Exception as error:
            raise refused(call, error) from None

    def _install(self, plan: Plan, opened: Mapping[str, OpenService], *, now: bool) -> RequestError | None:
        """Put a plan in force, at once or at the end of the turn. If a provider refuses it, nothing has changed."""
        before, offer, live = self.config.values, self.offer, self.live

        def undo() -> None:
            self.live, self.protocol.offer = live, offer
            self.config.undo(before)

        self.config.commit(plan)
        self.protocol.offer = self._offer_of(plan.providers)
        self.live = {**live, **opened}
        calls = [call for call in plan.calls if call.service not in opened or not self._sets_service(call)]
        if now and (failed := self._applied.apply(calls, plan.values, undo)) is not None:
            return failed
        for service in opened:
            kept = offer.provider(service).session_options & self.offer.provider(service).session_options
            self._applied.replaced(service, kept)
            self._retire(live[service])
        if now:
            self._applied.forget(plan.changed)
        else:
            self._applied.wait(plan.changed, calls)
        changed = [f"{service}.{name}" for service, name in plan.changed]
        self.hooks.tell("config_committed", session=self.session, revision=self.config.revision, changed=changed)
        return None

    def _sets_service(self, call: GroupCall) -> bool:
        return self.offer.provider(call.service).sets(call.group)

    # ---- services that are replaced --------------------------------------------------------------------------------

    def _replace_broken(self, service: str) -> None:
        """Put a fresh service in the place of one that would not take its old options back."""
        if service not in self._broken:
            self._broken[service] = self.live[service]
            self._workers.submit(partial(self._reopen, service))

    async def _reopen(self, service: str) -> None:
        try:
            async with self._lock():
                broken = self._broken[service]
                if self.live[service] is broken:
                    opened = await self._opener.open(service, self.offer.provider(service))
                    self.live = {**self.live, service: opened}
                    self._retire(broken)
                    for call in every_group(self.offer):
                        if call.service == service and self._sets_service(call):
                            self._set_first(call)
        except RequestError as error:
            return self.end(error)
        finally:
            del self._broken[service]
        if self.turns.current is None:
            self._apply_waiting()
        return None

    def turn_boundary(self) -> None:
        """Between two turns: changes that waited are made, and services that were replaced are closed."""
        self._apply_waiting()
        retired, self._retired = self._retired, []
        for opened in retired:
            self._retire(opened)

    def _apply_waiting(self) -> bool:
        """Make the changes that wait for the end of the turn; return whether any had to be taken back."""
        if self._broken:
            return False  # they are made once the broken service is open again
        failed = self._applied.apply_waiting()
        for error in failed:  # whoever asked for it was answered long ago
            self.outbox.report(error, fatal=False)
        if failed:
            self._push_config()
        return bool(failed)

    def _push_config(self) -> None:
        try:
            self.outbox.put(self.protocol.config(None))
        except RequestError as too_long:
            self.outbox.report(too_long, fatal=False)

    def _retire(self, opened: OpenService) -> None:
        """Close a service that was replaced, once nothing is being spoken with it."""
        turn = self.turns.current
        if (turn is not None and opened in turn.live.values()) or self._tasks is None:
            self._retired.append(opened)
        else:
            self._tasks.start_soon(opened.close, self.limits.close_seconds)

    def _retire_unused(self, opened: Mapping[str, OpenService]) -> None:
        for each in opened.values():
            if each is not self.live.get(each.service):
                self._retire(each)
