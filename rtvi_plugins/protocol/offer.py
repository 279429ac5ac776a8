"""The actions and options that one client is offered: those of the chosen providers, as far as they are granted.

An offer depends on providers and grants alone. Sessions share it, so its descriptions are encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, field, frozen

from ..context import Function
from ..declare.annotations import read
from ..declare.specs import BOT, ActionSpec, OptionsSpec, Parameter
from ..declare.types import Validator
from ..errors import (
    InvalidArguments,
    NotGranted,
    Problem,
    RequestError,
    UnknownAction,
    UnknownMessage,
    UnknownService,
    unknown,
)
from ..registry.grants import Grants
from ..registry.registry import PROVIDER, Provider, Registry
from .arguments import Binder
from .codec import encode_json
from .describe import describe_action, describe_function, describe_option
from .old_names import old_names_of_action

__all__ = ("Offer", "OfferedAction", "OfferedOption", "Offers", "OptionGroup")

#: The action that cancels a background job of the same session. It is offered together with any long action.
_JOB_CANCEL = "cancel_job"


@frozen(eq=False)
class OfferedAction:
    """An action that the client may call. `binder` checks its arguments."""

    service: str
    spec: ActionSpec
    binder: Binder
    restrictions: Mapping[str, Validator]
    #: What the log says about a former or deprecated name: of an argument, by the name; of the action itself, by "".
    old_names: Mapping[str, str]


@frozen
class OfferedOption:
    """An option that the client may read. The client may set it if it is `writable` and the `validator` passes."""

    parameter: Parameter
    writable: bool
    validator: Validator | None


@frozen
class OptionGroup:
    """A group of options that one function sets together, for one service of a session."""

    service: str
    spec: OptionsSpec
    #: The options that the function sets here: without those that the provider overrides.
    options: tuple[str, ...] = field(eq=False)
    #: Whether the function sets something of the live service, so that a new service has to be set too.
    sets_service: bool = field(eq=False)


@frozen(slots=False, eq=False)
class Offer:
    """The offer for these providers under these grants."""

    registry: Registry
    providers: Mapping[str, str]
    grants: Grants

    @cached_property
    def actions(self) -> Mapping[tuple[str, str], OfferedAction]:
        """Return the actions that this client may call, by service and name."""
        return {(action.service, action.spec.name): action for action in self._granted_actions()}

    def _granted_actions(self) -> Iterable[OfferedAction]:
        for service, specs in self._all_actions():
            for name, spec in specs.items():
                grant = self.grants.get(f"{service}:{name}")
                if grant is not None or (service == BOT and name == _JOB_CANCEL and self._has_jobs()):
                    restrictions: Mapping[str, Validator] = grant.arguments if grant is not None else {}
                    old_names = dict(old_names_of_action(f"{service}:{name}", spec))
                    yield OfferedAction(service, spec, Binder(spec.parameters, restrictions), restrictions, old_names)

    @cached_property
    def messages(self) -> Mapping[str, OfferedAction]:
        """Return the actions that handle a client message, by its type."""
        return {action.spec.message: action for action in self.actions.values() if action.spec.message is not None}

    def message(self, type: str, known: Iterable[str]) -> OfferedAction:
        """Return the action that handles a client message. Raise `UnknownMessage` or `NotGranted`.

        `known` are the types that the protocol reads itself.
        """
        action = self.messages.get(type) or self.actions.get((BOT, type))
        if action is not None:
            return action
        for spec in self.registry.own_actions:
            if spec.message == type:
                name = f"{spec.service}:{spec.name}"
                raise NotGranted([Problem("$.data.t", f"the bot does not grant '{name}' to this client.")])
        names = (*known, *self.messages, *(name for service, name in self.actions if service == BOT))
        raise UnknownMessage([unknown("request type", type, names, path="$.data.t")])

    def _has_jobs(self) -> bool:
        return any(
            spec.long and self.grants.get(f"{service}:{action}") is not None
            for service, specs in self._all_actions()
            for action, spec in specs.items()
        )

    def _all_actions(self) -> Iterable[tuple[str, Mapping[str, ActionSpec]]]:
        yield from ((name, provider.actions) for name, provider in self.chosen.items())
        yield from self.registry.actions.items()

    @cached_property
    def functions(self) -> Mapping[str, OfferedAction]:
        """Return the actions that an LLM may call as functions, by function name."""
        return {action.spec.name: action for action in self._granted_actions() if not action.spec.long}

    @cached_property
    def options(self) -> Mapping[str, Mapping[str, OfferedOption]]:
        """Return the options that this client may read, by service and name. Every service is a key."""
        return {name: dict(self._granted_options(name)) for name in self.registry.services}

    def _granted_options(self, service: str) -> Iterable[tuple[str, OfferedOption]]:
        provider, registered = self.chosen[service], self.registry.services[service]
        options = {name: parameter for name, (parameter, _) in provider.options.items()}
        if not registered.is_own:
            labels = evolve(read(str), schema={"enum": list(registered.chosen_from)})
            options[PROVIDER] = Parameter(PROVIDER, labels, registered.default, "The provider of this service.")
        for name, parameter in options.items():
            grant = self.grants.get(*(f"{service}.{each}" for each in provider.names_of(name)))
            if grant is not None:
                yield name, OfferedOption(parameter, grant.writable, grant.validator)

    @cached_property
    def chosen(self) -> Mapping[str, Provider]:
        """Return the provider of each service."""
        return {name: each.providers[self.providers[name]] for name, each in self.registry.services.items()}

    @cached_property
    def ungranted(self) -> Offer:
        """Return what the bot itself may set and call: the same providers, without grants and their limits."""
        return Offer(self.registry, self.providers, Grants(everything=True))

    def readable_config(self, values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the config in its JSON form: every service, with the options that this client may read."""
        return [
            {
                "service": service,
                "options": [
                    {"name": name, "value": self.providers[service] if name == PROVIDER else values[service][name]}
                    for name in options
                ],
            }
            for service, options in self.options.items()
        ]

    # ---- groups of options -----------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> Mapping[tuple[str, OptionsSpec], OptionGroup]:
        """Return all groups by service, in the order to set them: as declared, with `last` groups at the end.

        A group of which the provider overrides every option is left out.
        """
        groups = [
            OptionGroup(service, spec, names, provider.sets(spec))
            for service, provider in self.chosen.items()
            for spec in (*provider.groups, *provider.kind_groups)
            if (names := provider.effective(spec))
        ]
        return {(group.service, group.spec): group for group in sorted(groups, key=lambda group: group.spec.last)}

    def options_of(self, service: str, spec: OptionsSpec) -> tuple[str, ...]:
        """Return the options that a group sets here, or () if there is no such group."""
        group = self.groups.get((service, spec))
        return group.options if group is not None else ()

    # ---- looking up actions ----------------------------------------------------------------------------------------

    def action(self, service: object, name: object, path: str) -> OfferedAction:
        """Return the action with this name. Raise `UnknownService`, `UnknownAction` or `NotGranted`."""
        try:
            return self.actions[service, name]  # type: ignore[index]  # any JSON value can be looked up
        except (KeyError, TypeError):
            raise self._lookup_error(service, name, path) from None

    def _lookup_error(self, service: object, name: object, path: str) -> RequestError:
        known = dict(self._all_actions())
        if not isinstance(service, str) or not isinstance(name, str):
            return InvalidArguments([Problem(path, "expected an object with the strings service and action.")])
        if service not in known:
            offered = dict.fromkeys(each for each, _ in self.actions)
            return UnknownService([unknown("service", service, offered or known, path=f"{path}.service")])
        if name in known[service]:
            return NotGranted([Problem(f"{path}.action", f"the bot does not grant '{service}:{name}' to this client.")])
        names = [each for of, each in self.actions if of == service]
        return UnknownAction([unknown(f"{service} action", name, names, path=f"{path}.action")])

    # ---- descriptions ----------------------------------------------------------------------------------------------

    @cached_property
    def described_functions(self) -> tuple[Function, ...]:
        """Return the functions in the form for an LLM."""
        return tuple(describe_function(function.spec, function.restrictions) for function in self.functions.values())

    @cached_property
    def described_actions(self) -> str:
        """Return the data of `actions-available`, as JSON text."""
        actions = [
            describe_action(action.service, action.spec, action.restrictions) for action in self.actions.values()
        ]
        return encode_json({"actions": actions})

    @cached_property
    def described_config(self) -> str:
        """Return the data of `config-available`, as JSON text. Clients read a service's name in `name` or `service`."""
        config = [
            {
                "name": name,
                "service": name,
                "options": [
                    describe_option(option.parameter, option.validator, defaults, writable=option.writable)
                    for option in options.values()
                ],
                # The providers that take over when the present one fails.
                **({"failover": replacements} if (replacements := self._replacements(name)) else {}),
            }
            for name, options in self.options.items()
            for defaults in (self.registry.defaults(name, self.providers[name]),)
        ]
        return encode_json({"config": config})

    def _replacements(self, service: str) -> list[str]:
        choice = self.registry.services[service].chosen_from.get(self.providers[service])
        return list(choice.labels[1:]) if choice is not None else []


class Offers:
    """The offers of one bot. They are created when they are first needed, and shared by its sessions."""

    def __init__(self, registry: Registry, grants: Grants) -> None:
        self.registry = registry
        self.grants = grants
        self._made: dict[tuple[str, ...], Offer] = {}

    def renew(self, grants: Grants) -> None:
        """Make new offers, with these grants, because the registry has changed."""
        self.grants = grants
        self._made = {}

    def get(self, providers: Mapping[str, str], grants: Grants | None = None) -> Offer:
        """Return the offer for these providers. With grants of one session alone, the offer is not shared."""
        if grants is not None:
            return Offer(self.registry, dict(providers), grants)
        key = tuple(providers.values())
        if key not in self._made:
            self._made[key] = Offer(self.registry, dict(providers), self.grants)
        return self._made[key]
