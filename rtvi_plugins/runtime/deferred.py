"""The values that the services of a session were last passed, and the changes that wait for the end of the turn.

The config holds the values that the client was answered. They differ from those here only while a turn lasts: groups
of options that were changed during it are set at its end, to the values that the config holds then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from ..errors import ApplyFailed, RequestError, for_client, report, where
from ..protocol.config import Config, GroupCall, Values
from ..protocol.offer import Offer
from ..session import Session
from ..utils.control_flow import reraise_control_flow
from ..utils.task_context import call_plugin
from .services import OpenService

__all__ = ("Applied", "reason", "refused")


@frozen
class _Change:
    """One change that waits: the options that it sets, by `(service, name)`, and the groups to call for them."""

    options: Mapping[tuple[str, str], Any]
    calls: tuple[GroupCall, ...]


@define(eq=False)
class Applied:
    """What the live services of one session were passed. `broken` takes a service that can no longer be set."""

    session: Session
    config: Config
    offer: Callable[[], Offer]
    find: Callable[[str], OpenService]
    broken: Callable[[str], None]
    values: Values = field(init=False)
    _waiting: list[_Change] = field(factory=list[_Change])

    def __attrs_post_init__(self) -> None:
        self.values = self.config.values

    # ---- setting groups --------------------------------------------------------------------------------------------

    def call(self, call: GroupCall, opened: OpenService, arguments: Mapping[str, Any]) -> None:
        """Call an options function. Whatever it raises comes out as an `Exception`."""
        given: list[Any] = [opened.live] if call.group.wants_service else []
        if call.group.wants_session:
            given.append(self.session)
        try:
            call_plugin(call.group.function, *given, **arguments)
        except Exception:
            raise
        except BaseException as error:
            reraise_control_flow(error)
            raise RuntimeError(f"{type(error).__name__} from an options function") from error

    def set_again(self, call: GroupCall) -> None:
        """Set a group of the live service to the values that were applied last."""
        self._set(call, self.values)

    def _set(self, call: GroupCall, values: Values) -> None:
        provider = self.offer().provider(call.service)
        self.call(call, self.find(call.service), Config(values).arguments(call, provider))

    def apply(self, calls: Sequence[GroupCall], values: Values, undo: Callable[[], None]) -> RequestError | None:
        """Set groups to these values, one after the other, and return None.

        If one raises: call `undo`, set those before it back to what they were, and return the error.
        """
        done: list[GroupCall] = []
        restore = self.session.context.snapshot()
        for call in calls:
            done.append(call)
            try:
                self._set(call, values)
            except Exception as error:
                undo()
                for each in done:
                    self._set_back(each)
                restore()  # setting the messages back would start the conversation over
                return refused(call, error)
        self._note(calls, values)
        return None

    def _set_back(self, call: GroupCall) -> None:
        try:
            self.set_again(call)
        except Exception as error:
            report(where(call.group.function), error)
            self.broken(call.service)

    def _note(self, calls: Iterable[GroupCall], values: Values) -> None:
        noted = {service: dict(each) for service, each in self.values.items()}
        for call in calls:
            for name in self.offer().provider(call.service).effective(call.group):
                noted[call.service][name] = values[call.service][name]
        self.values = noted

    def replaced(self, service: str, kept: Collection[str]) -> None:
        """Note that another provider fills a service now, set to the values of the config.

        Options that are `kept` are those of the session that both providers have; they were not set again.
        """
        last, now = self.values[service], self.config.values[service]
        self.values = {**self.values, service: {**now, **{name: last[name] for name in kept if name in last}}}
        self.forget((service, name) for name in (*last, *now) if name not in kept)

    # ---- changes that wait -----------------------------------------------------------------------------------------

    def wait(self, changed: Iterable[tuple[str, str]], calls: Iterable[GroupCall]) -> None:
        """Have groups set at the end of the turn, to the values that the config holds then."""
        values = self.config.values
        options = {(service, name): values[service][name] for service, name in changed}
        if calls := tuple(calls):
            self._waiting.append(_Change(options, calls))

    def forget(self, options: Iterable[tuple[str, str]]) -> None:
        """Leave out what waits for these options: they were set in the meantime."""
        settled = set(options)
        self._waiting = [
            evolve(each, options=left, calls=tuple(call for call in each.calls if self._sets(call, left)))
            for each in self._waiting
            if (left := {key: value for key, value in each.options.items() if key not in settled})
        ]

    def _sets(self, call: GroupCall, options: Collection[tuple[str, str]]) -> bool:
        provider = self.offer().provider(call.service)
        if call.group not in (*provider.groups, *provider.kind_groups):
            return False
        return any((call.service, name) in options for name in provider.effective(call.group))

    def apply_waiting(self) -> list[RequestError]:
        """Make the changes that wait. Those that cannot be made are taken out of the config; return why, for each."""
        waiting, self._waiting = self._waiting, []
        calls = list(dict.fromkeys(call for each in waiting for call in each.calls))
        calls.sort(key=lambda call: call.group.last)
        announced = self.config.values
        failed = self.apply(calls, announced, lambda: self._take_back(waiting)) if calls else None
        if failed is None:
            return []
        # One of several may be at fault, so each is tried by itself, in the order in which they came.
        return [failed] if len(waiting) == 1 else [error for each in waiting if (error := self._try(each)) is not None]

    def _take_back(self, waiting: Iterable[_Change]) -> None:
        """Put the values that were applied last into the config, in place of those that wait."""
        self.config.revise({key: self.values[key[0]][key[1]] for each in waiting for key in each.options})

    def _try(self, change: _Change) -> RequestError | None:
        before = self.config.values
        self.config.revise(change.options)
        return self.apply(change.calls, self.config.values, lambda: self.config.undo(before))


def refused(call: GroupCall, error: Exception) -> ApplyFailed:
    """What the client is told when an options function raised; a value that it refuses is no mistake of its own."""
    if not isinstance(error, RequestError):
        report(where(call.group.function), error)
    return ApplyFailed(f"The options of {call.service!r} could not be set; the old ones are in force.{reason(error)}")


def reason(error: Exception) -> str:
    """What an options function itself had to say, where that is meant to be told."""
    meant = for_client(error)
    return f" {meant.message}" if meant is not None else ""
