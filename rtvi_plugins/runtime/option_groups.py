"""The option groups of live services: the values that they were last set to, and changes deferred to the turn's end.

The config holds the values that the client was sent. While a turn lasts, the services may still have older ones: groups
of options that changed during the turn are set at its end, to the values that the config holds then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from ..declare.specs import Given, Injected, LifespanValue
from ..declare.types import check
from ..errors import ApplyFailed, RequestError, StartFailed, report
from ..protocol.config import Values
from ..protocol.offer import Offer, OptionGroup
from ..utils.error_texts import where
from ..utils.plugin_calls import call_plugin, reraise_control_flow
from .client_errors import as_request_error
from .live_services import LiveServices
from .services import OpenService
from .session_core import SessionCore

__all__ = ("AppliedOptions", "arguments_of", "author_sentence", "set_group_error")


log = logging.getLogger("rtvi_plugins")


@frozen
class _DeferredChange:
    """One change that waits for the turn boundary: its values, by service and option, and the groups to set."""

    options: Mapping[tuple[str, str], Any]
    groups: tuple[OptionGroup, ...]


@define(eq=False)
class AppliedOptions:
    """The values that the options of one session were last set to."""

    core: SessionCore
    services: LiveServices
    #: Called with the name of a service that can no longer be set.
    on_broken: Callable[[str], None]
    values: Values = field(init=False)
    _deferred_changes: list[_DeferredChange] = field(factory=list[_DeferredChange])

    def __attrs_post_init__(self) -> None:
        self.values = self.core.config.values

    # ---- setting groups --------------------------------------------------------------------------------------------

    def set_group(self, group: OptionGroup, opened: OpenService, arguments: Mapping[str, Any]) -> None:
        """Call an options function. If it raises anything, raise an `Exception`.

        A service that could not be opened is set when it is.
        """
        if group.sets_service and not opened.was_opened:
            return
        given = [self._injected(each, opened, group) for each in group.spec.given]
        try:
            call_plugin(group.spec.function, *given, **arguments)
        except Exception:
            raise
        except BaseException as error:
            reraise_control_flow(error)
            raise RuntimeError(f"{type(error).__name__} from an options function") from error

    def _injected(self, parameter: Injected, opened: OpenService, group: OptionGroup) -> Any:
        if isinstance(parameter, LifespanValue):
            return self.core.shared.lifespans.value(group.spec.function, parameter)
        return self.core.session if parameter is Given.SESSION else opened.live

    def set_first(self, group: OptionGroup) -> None:
        """Set a group of a service that has just been opened. Raise `StartFailed`."""
        try:
            self._set_live(group, self.values)
        except Exception as error:
            start, service = self.core.start, group.service
            text = f"The options of the service {service!r} could not be set.{author_sentence(error)}"
            if not isinstance(error, RequestError):
                report(where(group.spec.function), error)
            elif start.values[service] == start.defaults.of(service, start.providers[service]):
                log.error("%s", text)  # a mistake of the bot's author or the operator, who read the log
            # The client reads the text too, so the operator's own strings are removed.
            raise StartFailed(start.hide(text)) from None

    async def reopen(self, service: str, old: OpenService) -> None:
        """Open a service again and set its options, unless `old` was replaced meanwhile. Raise a `RequestError`."""
        services, offer = self.services, self.core.protocol.offer
        async with services.lock:
            if services.open[service] is not old:
                return
            opened = await services.opener.open(service, offer.chosen[service])
            services.replace(service, opened)
            try:
                for group in offer.groups.values():
                    if group.service == service and group.sets_service:
                        self.set_first(group)
            except RequestError:
                services.replace(service, old)
                services.retire(opened)
                raise
            services.retire(old)

    def _set_live(self, group: OptionGroup, values: Values) -> None:
        self.set_group(group, self.services.open[group.service], arguments_of(group, values))

    def apply(
        self,
        groups: Sequence[OptionGroup],
        values: Values,
        undo: Callable[[], None],
        changed: Iterable[tuple[str, str]] = (),
    ) -> RequestError | None:
        """Set groups to these values, in order, and drop the deferred changes of the `changed` options.

        If one group fails: call `undo`, set the groups before it to their old values again, and return the error.
        """
        done: list[OptionGroup] = []
        restore = self.core.session.context.snapshot()
        for group in groups:
            done.append(group)
            try:
                self._set_live(group, values)
            except Exception as error:
                undo()
                for each in done:
                    self._set_back(each)
                restore()  # the options functions of `messages` have replaced the conversation
                return set_group_error(group, error)
        self._note_applied(groups, values)
        if self._deferred_changes:
            self._drop_deferred(changed)
        return None

    def _set_back(self, group: OptionGroup) -> None:
        # After an undone switch, the group may be one that only the new provider has.
        old = self.core.protocol.offer.groups.get((group.service, group.spec))
        if old is None:
            return
        try:
            self._set_live(old, self.values)
        except Exception as error:
            report(where(group.spec.function), error)
            self.on_broken(group.service)

    def _note_applied(self, groups: Iterable[OptionGroup], values: Values) -> None:
        noted = {service: dict(each) for service, each in self.values.items()}
        for group in groups:
            for name in group.options:
                noted[group.service][name] = values[group.service][name]
        self.values = noted

    def replaced(self, service: str, before: Offer, session_values: Values) -> Collection[str]:
        """Note that a service has a new provider, which was set to the values of the config.

        Options of the session are not set by opening a service: those that exist with both providers keep their last
        values, and the others have those in `session_values`. Return the names of those that are kept.
        """
        provider = self.core.protocol.offer.chosen[service]
        kept = before.chosen[service].session_options & provider.session_options
        last, values = self.values[service], dict(self.core.config.values[service])
        values |= {name: session_values[service][name] for name in provider.session_options}
        values |= {name: last[name] for name in kept}
        self.values = {**self.values, service: values}
        self._drop_deferred((service, name) for name in (*last, *values) if name not in kept)
        return kept

    # ---- deferred changes ------------------------------------------------------------------------------------------

    def defer(self, changed: Iterable[tuple[str, str]], groups: Iterable[OptionGroup]) -> None:
        """Set groups at the turn boundary, to the values that the config holds then."""
        values = self.core.config.values
        options = {(service, name): values[service][name] for service, name in changed}
        if groups := tuple(groups):
            self._deferred_changes.append(_DeferredChange(options, groups))

    def _drop_deferred(self, options: Iterable[tuple[str, str]]) -> None:
        """Drop these options from the deferred changes: they were set in the meantime."""
        settled = set(options)
        self._deferred_changes = [
            evolve(each, options=left, groups=tuple(group for group in each.groups if self._sets(group, left)))
            for each in self._deferred_changes
            if (left := {key: value for key, value in each.options.items() if key not in settled})
        ]

    def _sets(self, group: OptionGroup, options: Collection[tuple[str, str]]) -> bool:
        names = self.core.protocol.offer.options_of(group.service, group.spec)
        return any((group.service, name) in options for name in names)

    def apply_deferred(self) -> list[RequestError]:
        """Make the deferred changes. Take those that fail out of the config again, and return their errors."""
        if not self._deferred_changes:
            return []
        deferred, self._deferred_changes = self._deferred_changes, []
        groups = self._current_groups(group for each in deferred for group in each.groups)
        failed = (
            self.apply(groups, self.core.config.values, lambda: self._revert_deferred(deferred)) if groups else None
        )
        if failed is None:
            return []
        # Only one of several changes may be invalid, so each is tried by itself, in order.
        errors = [failed] if len(deferred) == 1 else [self._try_deferred(each) for each in deferred]
        return [error for error in errors if error is not None]

    def _current_groups(self, groups: Iterable[OptionGroup]) -> list[OptionGroup]:
        """Return each group once, `last` groups at the end, as the present providers have it."""
        offered = self.core.protocol.offer.groups
        current = [offered[key] for each in dict.fromkeys(groups) if (key := (each.service, each.spec)) in offered]
        return sorted(current, key=lambda group: group.spec.last)

    def _revert_deferred(self, deferred: Iterable[_DeferredChange]) -> None:
        """Replace the deferred values in the config by those that were applied last."""
        self.core.config.revise({key: self.values[key[0]][key[1]] for each in deferred for key in each.options})

    def _try_deferred(self, change: _DeferredChange) -> RequestError | None:
        before = self.core.config.values
        self.core.config.revise(change.options)
        return self.apply(
            self._current_groups(change.groups), self.core.config.values, lambda: self.core.config.undo(before)
        )


def arguments_of(group: OptionGroup, values: Values) -> dict[str, Any]:
    of_service, parameters = values[group.service], group.spec.parameters
    arguments: dict[str, Any] = {}
    for name in group.options:
        value, shape = of_service[name], parameters[name].shape
        # The value was checked before; here it is only converted, which an exact one does not need.
        arguments[name] = value if value.__class__ is shape.exact else check(shape, value)[0]
    return arguments


def set_group_error(group: OptionGroup, error: Exception) -> ApplyFailed:
    """Return the client's error for an options function that raised. A `RequestError` is not logged as a failure."""
    if not isinstance(error, RequestError):
        report(where(group.spec.function), error)
    text = f"The options of {group.service!r} could not be set; the old ones are still used."
    return ApplyFailed(f"{text}{author_sentence(error)}")


def author_sentence(error: Exception) -> str:
    """Return what an options function raised for the client to read, with a space before it, or ""."""
    meant = as_request_error(error)
    return f" {meant.message}" if meant is not None else ""
