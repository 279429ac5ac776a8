"""Everything that one bot offers, read-only: its services, their providers, options and actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from ..declare.shapes import check
from ..declare.specs import ActionSpec, BotSpec, OptionsSpec, Parameter, ProviderSpec
from ..errors import Problem

__all__ = ("BOT", "PROVIDER", "Provider", "Registry", "Service", "twice")

#: The service name under which clients see a bot's own actions.
BOT = "bot"

#: The option by which a client that is granted it switches the provider of a service.
PROVIDER = "provider"


@frozen(slots=False)
class Provider:
    """One provider of a service, with all options and actions that it offers: its own, and its kind's."""

    label: str
    spec: ProviderSpec
    groups: tuple[OptionsSpec, ...]
    kind_groups: tuple[OptionsSpec, ...]
    actions: Mapping[str, ActionSpec]

    @cached_property
    def options(self) -> Mapping[str, tuple[Parameter, OptionsSpec]]:
        """Each option with its group. A provider's option comes before its kind's of the same name."""
        found: dict[str, tuple[Parameter, OptionsSpec]] = {}
        for group in (*self.groups, *self.kind_groups):
            for name, parameter in group.parameters.items():
                found.setdefault(name, (parameter, group))
        return found

    @cached_property
    def former_names(self) -> Mapping[str, str]:
        """Former names of options, each with the present one."""
        present = self.options
        return {was: name for name, (parameter, _) in present.items() for was in parameter.was if was not in present}

    def present_name(self, name: str) -> str | None:
        """The present name of an option that goes by this name, or did; None if there is none."""
        return name if name in self.options else self.former_names.get(name)

    def check_option(self, name: str, value: Any, path: str = "$") -> tuple[Any, list[Problem]]:
        """Check a value for an option that this provider has, by its present name.

        Return the value as the options function takes it, and every problem with it.
        """
        return check(self.options[name][0].shape, value, path)

    def names_of(self, option: str) -> tuple[str, ...]:
        """All names that an option goes by, the present one first."""
        return (option, *(was for was, name in self.former_names.items() if name == option))

    @cached_property
    def kind_options(self) -> frozenset[str]:
        """The options of the kind that the provider does not override."""
        return frozenset(name for group in self.kind_groups for name in self.effective(group))

    @cached_property
    def session_options(self) -> frozenset[str]:
        """Those options of the kind whose groups set something of the session, and not of the live service."""
        return frozenset(name for group in self.kind_groups for name in self.effective(group) if not self.sets(group))

    def sets(self, group: OptionsSpec) -> bool:
        """Return whether a group sets something of the live service, so that a new one has to be passed it."""
        return group in self.groups or (group in self.kind_groups and group.wants_service)

    def effective(self, group: OptionsSpec) -> tuple[str, ...]:
        """The options that a group really sets here: those that nobody overrides."""
        return self._effective.get(id(group), ())

    @cached_property
    def _effective(self) -> Mapping[int, tuple[str, ...]]:
        return {
            id(group): tuple(name for name in group.parameters if self.options[name][1] is group)
            for group in (*self.groups, *self.kind_groups)
        }


@frozen
class Service:
    """A named slot of a bot and who may fill it. The first provider is the default."""

    name: str
    kind: str
    providers: Mapping[str, Provider]

    @property
    def default(self) -> str:
        return next(iter(self.providers))


@frozen
class Registry:
    """Everything that one bot offers."""

    bot: BotSpec
    services: Mapping[str, Service]
    actions: Mapping[str, ActionSpec] = field(factory=dict[str, ActionSpec])

    def labels(self) -> dict[str, tuple[str, ...]]:
        """The providers of each service, by the names under which clients choose them."""
        return {name: tuple(service.providers) for name, service in self.services.items()}


def twice(provider: Provider, names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Options that are named twice, by a former name and another one: each with the names as a text."""
    found: dict[str, list[str]] = {}
    for name in names:
        if (own := provider.present_name(name)) is not None:
            found.setdefault(own, []).append(name)
    return ((own, " and ".join(map(repr, each))) for own, each in found.items() if len(each) > 1)
