"""The registry of a bot, read-only: its services, providers, options, actions and lifespans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from ..declare.lifespans import Lifespans
from ..declare.specs import BOT, ActionSpec, BotSpec, Choice, Given, OptionsSpec, Parameter, ProviderSpec, Spec
from ..declare.types import check
from ..errors import Problem

__all__ = ("ITSELF", "PROVIDER", "Provider", "Registry", "Service", "twice")


#: The option that switches the provider of a service, if the client is granted it.
PROVIDER = "provider"


class _BotItself(Protocol):
    """The kind of services that a bot has for its own options."""


#: The provider of such a service. It opens nothing.
ITSELF = ProviderSpec(BOT, _BotItself, BOT, nullcontext, (), {}, "")


@frozen(slots=False)
class Provider:
    """One provider of a service, with its own options and actions and those of its kind."""

    label: str
    spec: ProviderSpec
    groups: tuple[OptionsSpec, ...]
    kind_groups: tuple[OptionsSpec, ...]
    actions: Mapping[str, ActionSpec]

    @cached_property
    def options(self) -> Mapping[str, tuple[Parameter, OptionsSpec]]:
        """Return each option with its group. An option of the provider overrides one of its kind."""
        options: dict[str, tuple[Parameter, OptionsSpec]] = {}
        for group in (*self.groups, *self.kind_groups):
            for name, parameter in group.parameters.items():
                options.setdefault(name, (parameter, group))
        return options

    @cached_property
    def former_names(self) -> Mapping[str, str]:
        """Return the former names of options, each with the present name."""
        present = self.options
        return {was: name for name, (parameter, _) in present.items() for was in parameter.was if was not in present}

    def present_name(self, name: str) -> str | None:
        """Return the present name of an option from its present or former name; None if there is no such option."""
        return name if name in self.options else self.former_names.get(name)

    def check_option(self, name: str, value: Any, path: str = "$") -> tuple[Any, list[Problem]]:
        """Check a value for an option of this provider, given by its present name.

        Return the converted value for the options function, and every problem.
        """
        return check(self.options[name][0].shape, value, path)

    def names_of(self, option: str) -> tuple[str, ...]:
        """Return all names of an option, the present one first."""
        return (option, *(was for was, name in self.former_names.items() if name == option))

    @cached_property
    def kind_options(self) -> frozenset[str]:
        """Return the options of the kind that the provider does not override."""
        return frozenset(name for group in self.kind_groups for name in self.effective(group))

    @cached_property
    def session_options(self) -> frozenset[str]:
        """Return the options of the kind that change only the session, and not the service."""
        return frozenset(name for group in self.kind_groups for name in self.effective(group) if not self.sets(group))

    def sets(self, group: OptionsSpec) -> bool:
        """Return whether a group changes the service. If so, a new service must receive its values."""
        return group in self.groups or (group in self.kind_groups and Given.SERVICE in group.given)

    def effective(self, group: OptionsSpec) -> tuple[str, ...]:
        """Return the options of a group that no other group overrides."""
        return self._effective.get(id(group), ())

    @cached_property
    def _effective(self) -> Mapping[int, tuple[str, ...]]:
        return {
            id(group): tuple(name for name in group.parameters if self.options[name][1] is group)
            for group in (*self.groups, *self.kind_groups)
        }


@frozen(slots=False)
class Service:
    """A named service of a bot and its possible providers."""

    name: str
    kind: str
    providers: Mapping[str, Provider]
    #: What clients may choose among: all providers, or what the bot says. The first is the default.
    choices: tuple[Choice, ...] = ()

    @property
    def is_own(self) -> bool:
        """Return whether it has the bot's own options, and so no provider to choose."""
        return self.kind == BOT

    @cached_property
    def chosen_from(self) -> Mapping[str, Choice]:
        """Return what clients may choose, by the name that they use: that of the first provider that is there."""
        choosable: dict[str, Choice] = {}
        for choice in self.choices or [Choice((label,)) for label in self.providers]:
            present = tuple(label for label in choice.labels if label in self.providers)
            if present:
                choosable.setdefault(present[0], evolve(choice, labels=present))
        return choosable

    @property
    def default(self) -> str:
        return next(iter(self.chosen_from))


@define(eq=False)
class Registry:
    """Everything that one bot offers. Only `complete` changes it."""

    bot: BotSpec
    services: Mapping[str, Service]
    #: The bot's own actions, by the service under which clients see them, and by name.
    actions: Mapping[str, Mapping[str, ActionSpec]] = field(factory=dict[str, Mapping[str, ActionSpec]])
    lifespans: Lifespans = field(factory=Lifespans)

    def complete(self, whole: Registry) -> None:
        """Become the registry with the alternatives that were imported after the start. All sessions share this one."""
        self.bot, self.services, self.actions = whole.bot, whole.services, whole.actions

    @property
    def own_actions(self) -> Iterable[ActionSpec]:
        """Return the bot's own actions."""
        return (action for actions in self.actions.values() for action in actions.values())

    @property
    def providers(self) -> Iterable[Provider]:
        """Return the providers of all services."""
        return (provider for service in self.services.values() for provider in service.providers.values())

    @property
    def specs(self) -> Iterable[Spec]:
        """Return all declarations that the bot uses."""
        yield self.bot
        yield from self.own_actions
        for provider in self.providers:
            yield provider.spec
            yield from (*provider.groups, *provider.kind_groups)
            yield from provider.actions.values()

    def defaults(
        self, service: str, label: str, operator: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Return the values that a service with this provider starts from, by option.

        Those of the provider are overridden by the bot's config, and that by the operator's.
        """
        provider = self.services[service].providers[label]
        values = {name: parameter.default for name, (parameter, _) in provider.options.items()}
        for layer in (self.bot.config, operator or {}):
            for key in (service, f"{service}.{label}"):
                given = layer.get(key, {}).items()
                values |= {own: value for name, value in given if (own := provider.present_name(name)) is not None}
        return values

    def left_out(self, service: str) -> frozenset[str]:
        """Return the optional providers of a service that are not installed."""
        present = self.services[service].providers if service in self.services else ()
        return frozenset(label for name, label in self.bot.optional if name == service and label not in present)

    def labels(self) -> dict[str, tuple[str, ...]]:
        """Return the providers of each service that clients may choose."""
        return {name: tuple(service.chosen_from) for name, service in self.services.items()}


def twice(provider: Provider, names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Return the options that appear under two names, each with the names as a text."""
    names_of_option: dict[str, list[str]] = {}
    for name in names:
        if (own := provider.present_name(name)) is not None:
            names_of_option.setdefault(own, []).append(name)
    return ((own, " and ".join(map(repr, each))) for own, each in names_of_option.items() if len(each) > 1)
