"""The services and options of one session as they are in force, and every way in which they change.

A change is prepared (`_config`), new providers are opened and set up, and only then is anything replaced. What is
being spoken is finished with the old values: groups are set, and services that were replaced are closed, at the edge
of the turn, unless the change interrupts it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from ._answers import Answers
from ._config import Config, GroupCall, Plan, Values, every_group
from ._conversation import Conversation, Request, Update
from ._dialogue import Dialogue
from ._hooks import Hooks
from ._offer import Offer, Offers
from ._registry import Registry
from ._services import Opener, OpenService
from ._start import StartPlan
from ._workers import Workers
from .errors import ApplyFailed, InvalidConfig, ProviderError, RequestError, StartFailed, report, unknown, where
from .limits import Limits
from .session import Session

__all__ = ("Settings",)

log = logging.getLogger("rtvi_plugins")


@define(eq=False)
class Settings:
    """Who fills the services of a session, and with what values."""

    session: Session
    plan: StartPlan
    config: Config
    conversation: Conversation
    answers: Answers
    dialogue: Dialogue
    hooks: Hooks
    offers: Offers
    limits: Limits
    end: Callable[[RequestError], None]
    live: dict[str, OpenService] = field(factory=dict[str, OpenService])
    _opener: Opener = field(init=False)
    _workers: Workers = field(init=False)
    _tasks: TaskGroup | None = None
    _retired: list[OpenService] = field(factory=list[OpenService])
    _edge: list[tuple[Plan, Values]] = field(factory=list[tuple[Plan, Values]])
    _changing: anyio.Lock | None = None
    _queued: list[Request] = field(factory=list[Request])

    @property
    def offer(self) -> Offer:
        """What the client is offered with the providers that are in force."""
        return self.conversation.offer

    @property
    def registry(self) -> Registry:
        return self.offers.registry

    # ---- the beginning and the end ---------------------------------------------------------------------------------

    async def open(self, keepers: TaskGroup) -> RequestError | None:
        """Open the services in the order of the bot's parameters, and set all options; or say why that failed."""
        self._opener = Opener(keepers, self.plan.keys, self.plan.service_options, self.limits.open_seconds)
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
            self._set(call)
        except Exception as error:
            text = f"The options of the service {call.service!r} could not be set.{_reason(error)}"
            if not isinstance(error, RequestError):
                report(where(call.group.function), error)
            elif self._is_as_written(call.service):
                log.error("%s", text)  # no client's mistake, so those who made it have to read of it here
            raise StartFailed(text) from None

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

    # ---- changes that a client asks for ----------------------------------------------------------------------------

    def update(self, update: Update) -> None:
        """Make a change at once where nothing has to be waited for, or else in its turn."""
        self._queued = [each for each in self._queued if self.conversation.waits(each)]
        if not self._queued and (self._changing is None or not self._changing.statistics().locked):
            plan = self._prepare(update)
            if plan is None:
                return
            if not plan.switched:
                return self._commit(update, plan, {})
        self._queued.append(update.request)
        update.request.job = self._workers.submit(partial(self._update_in_turn, update))
        return None

    def _prepare(self, update: Update) -> Plan | None:
        try:
            return self.config.prepare(update.sent, self.offer, self.plan.layers, update.path)
        except RequestError as error:
            self.answers.fail(update.request, error)
            return None

    async def _update_in_turn(self, update: Update) -> None:
        opened: dict[str, OpenService] = {}
        try:
            async with self._lock():
                plan = self._prepare(update)
                if plan is not None:
                    await self._open_switched(plan, opened)
                    # While they opened, the edge of a turn may have taken something back.
                    again = self._prepare(update)
                    if again is not None:
                        self._commit(update, again, opened)
        except RequestError as error:
            self.answers.fail(update.request, error)
        finally:
            self._retire_unused(opened)

    def _commit(self, update: Update, plan: Plan, opened: Mapping[str, OpenService]) -> None:
        """Make a plan real, and answer. A request that ran into its deadline changes nothing any more."""
        if not self.conversation.waits(update.request):
            return
        if update.interrupt:
            self.dialogue.interrupt()
        now = self.dialogue.current is None or update.interrupt
        if now and self._edge:
            # What waited for the edge was committed first. It may be taken back, and this change stands on it.
            self._make_waiting()
            again = self._prepare(update)
            if again is None:
                return None
            plan = again
        error = self._install(plan, opened, now=now)
        if error is not None:
            return self.answers.fail(update.request, error)
        text = self.conversation.config(update.request, applies="now" if now else "next-turn")
        return self.answers.answer(update.request, text)

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
                plan = self.config.switch(self.offer, offer, self.plan.layers)
                if interrupt:
                    self.dialogue.interrupt()
                error = self._install(plan, opened, now=self.dialogue.current is None or interrupt)
        finally:
            self._retire_unused(opened)
        if error is not None:
            raise error
        self.answers.put(self.conversation.config(None))

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
                if call.service == service and call.group in provider.groups:
                    self._set_new(call, opened[service], config.arguments(call, provider))

    def _set_new(self, call: GroupCall, opened: OpenService, arguments: Mapping[str, Any]) -> None:
        try:
            self._call(call, opened, arguments)
        except Exception as error:
            raise _refused(call, error) from None

    def _install(self, plan: Plan, opened: Mapping[str, OpenService], *, now: bool) -> RequestError | None:
        """Put a plan in force, at once or at the turn's edge. If a provider refuses it, what was is in force again."""
        before, offer, live = self.config.values, self.offer, self.live
        self.config.commit(plan)
        self.conversation.offer = self._offer_of(plan.providers)
        self.live = {**live, **opened}
        calls = [call for call in plan.calls if call.service not in opened or not self._is_own(call)]
        if now:
            failed = self._apply(calls, partial(self._restore, live, offer, before))
            if failed is not None:
                return failed
        elif calls:
            self._edge.append((evolve(plan, calls=tuple(calls)), before))
        for service in opened:
            self._retire(live[service])
        self.hooks.tell("config_committed", session=self.session, revision=self.config.revision, changed=plan.changed)
        return None

    def _is_offered(self, call: GroupCall) -> bool:
        """Whether a group is one of the provider in force: it may have been switched since the change was made."""
        provider = self.offer.provider(call.service)
        return call.group in (*provider.groups, *provider.kind_groups)

    def _is_own(self, call: GroupCall) -> bool:
        return call.group in self.offer.provider(call.service).groups

    def _restore(self, live: dict[str, OpenService], offer: Offer, before: Values) -> None:
        self.live, self.conversation.offer = live, offer
        self.config.undo(before)

    def _apply(
        self, calls: Sequence[GroupCall], undo: Callable[[], None], new: Config | None = None, old: Config | None = None
    ) -> RequestError | None:
        """Set groups one after the other. If one raises, those before it are set back, or their service reopened.

        `new` and `old` hold the values where they are not those of the session before and after the undo.
        """
        done: list[GroupCall] = []
        restore = self.session.context.snapshot()
        for call in calls:
            done.append(call)
            try:
                self._set(call, new)
            except Exception as error:
                undo()
                for each in done:
                    self._set_back(each, old)
                restore()  # setting the messages back would start the conversation over
                return _refused(call, error)
        return None

    def _set(self, call: GroupCall, config: Config | None = None) -> None:
        arguments = (config or self.config).arguments(call, self.offer.provider(call.service))
        self._call(call, self.live[call.service], arguments)

    def _call(self, call: GroupCall, opened: OpenService, arguments: Mapping[str, Any]) -> None:
        try:
            call.group.function(*self._given(call, opened), **arguments)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # it must not get past those who catch what a plugin raises
            raise RuntimeError(f"{type(error).__name__} from an options function") from error

    def _given(self, call: GroupCall, opened: OpenService) -> list[Any]:
        given: list[Any] = [opened.live] if call.group.wants_service else []
        return [*given, self.session] if call.group.wants_session else given

    def _set_back(self, call: GroupCall, config: Config | None) -> None:
        try:
            self._set(call, config)
        except Exception as error:
            report(where(call.group.function), error)
            self._workers.submit(partial(self._reopen, call.service))

    async def _reopen(self, service: str) -> None:
        """Put a fresh service in the place of one that would not take its old options back."""
        async with self._lock():
            provider = self.offer.provider(service)
            try:
                opened = await self._opener.open(service, provider)
                replaced, self.live = self.live[service], {**self.live, service: opened}
                self._retire(replaced)
                for call in every_group(self.offer):
                    if call.service == service and self._is_own(call):
                        self._set_first(call)
            except RequestError as error:
                self.end(error)

    # ---- the edge of a turn ----------------------------------------------------------------------------------------

    def reach_edge(self) -> None:
        """Between two turns: changes that waited are made, and services that were replaced are closed."""
        self._make_waiting()
        retired, self._retired = self._retired, []
        for opened in retired:
            self._retire(opened)

    def _make_waiting(self) -> None:
        waiting, self._edge = self._edge, []
        for plan, before in waiting:
            calls = [call for call in plan.calls if self._is_offered(call)]
            values = Config(plan.values), Config(before)
            failed = self._apply(calls, partial(self.config.revert, plan, before), *values)
            if failed is not None:  # whoever asked for it was answered long ago
                self.answers.tell(failed, fatal=False)
                self.answers.put(self.conversation.config(None))

    def _retire(self, opened: OpenService) -> None:
        """Close a service that was replaced, once nothing is being spoken with it."""
        turn = self.dialogue.current
        if (turn is not None and opened in turn.live.values()) or self._tasks is None:
            self._retired.append(opened)
        else:
            self._tasks.start_soon(opened.close, self.limits.close_seconds)

    def _retire_unused(self, opened: Mapping[str, OpenService]) -> None:
        for each in opened.values():
            if each is not self.live.get(each.service):
                self._retire(each)


def _refused(call: GroupCall, error: Exception) -> ApplyFailed:
    """What the client is told when an options function raised; a value that it refuses is no mistake of its own."""
    if not isinstance(error, RequestError):
        report(where(call.group.function), error)
    return ApplyFailed(f"The options of {call.service!r} could not be set; the old ones are in force.{_reason(error)}")


def _reason(error: Exception) -> str:
    """What an options function itself had to say, where that is meant to be told."""
    return f" {error}" if isinstance(error, ProviderError | RequestError) else ""
