"""All that a bot declares and is made of, checked for conflicts, read-only: the registry of one bot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import field, frozen
from attrs.validators import and_

from ..declare.constraints import restriction
from ..declare.shapes import Shape, UnsupportedType, Validator, check
from ..declare.signature import problems_text
from ..declare.specs import ActionSpec, BotSpec, Grant, OptionsSpec, Parameter, ProviderSpec, Spec, Target
from ..declare.types import read
from ..errors import BotError, DeclarationError, Problem
from ..utils.diagnostics import nearest, where

__all__ = ("BOT", "PROVIDER", "Provider", "Registry", "Service", "build", "grant_problem", "renamed", "twice")

#: The service name under which clients see a bot's own actions.
BOT = "bot"

#: The option by which a client that is granted it switches the provider of a service.
PROVIDER = "provider"

#: How many names a sentence lists where none is near.
_LISTED = 8


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


def build(bot: BotSpec, providers: Mapping[str, Mapping[str, ProviderSpec]], specs: Sequence[Spec]) -> Registry:
    """The registry of a bot, from its providers by service and label, and all declarations that may concern them.

    `DeclarationError` for a name that is declared twice, `BotError` for defaults and grants that fit nothing.
    """
    actions = [spec for spec in specs if isinstance(spec, ActionSpec)]
    groups = [spec for spec in specs if isinstance(spec, OptionsSpec)]
    services = {
        name: Service(
            name, bot.kinds[name], {label: _provider(label, spec, groups, actions) for label, spec in labelled.items()}
        )
        for name, labelled in providers.items()
    }
    registry = Registry(bot, services, _by_name(_on(actions, BOT, bot.function), BOT))
    _check_bot(registry)
    return registry


def _provider(label: str, spec: ProviderSpec, groups: Sequence[OptionsSpec], actions: Sequence[ActionSpec]) -> Provider:
    own, kind = _on(groups, spec.function), _on(groups, spec.kind)
    for each in (own, kind):
        _refuse_twice(each, f"{spec.kind}.{spec.provider}")
    of_kind, of_provider = _on(actions, spec.kind), _on(actions, spec.function)
    offered = {**_by_name(of_kind, spec.kind), **_by_name(of_provider, f"{spec.kind}.{spec.provider}")}
    return Provider(label, spec, tuple(own), tuple(kind), offered)


def _on(specs: Iterable[Any], *targets: Target) -> list[Any]:
    return [
        spec for spec in specs if any(each is target or each == target for each in spec.targets for target in targets)
    ]


def _by_name(actions: Iterable[ActionSpec], on: str) -> dict[str, ActionSpec]:
    found: dict[str, ActionSpec] = {}
    for spec in actions:
        if spec.name in found and found[spec.name] is not spec:
            _refuse(f"the action {spec.name!r} of {on!r}", found[spec.name], spec)
        found[spec.name] = spec
    return found


def _refuse_twice(groups: Iterable[OptionsSpec], on: str) -> None:
    found: dict[str, OptionsSpec] = {}
    for group in groups:
        for name in (name for each in group.parameters.values() for name in (each.name, *each.was)):
            if name == PROVIDER:
                message = f"declares the option {PROVIDER!r}, which is the framework's own. Choose another name."
                raise DeclarationError(group.function, message)
            if name in found:
                _refuse(f"the option {name!r} of {on!r}", found[name], group)
            found[name] = group


def _refuse(what: str, first: Any, second: Any) -> None:
    places = f"{where(first.function)} and {where(second.function)}"
    raise DeclarationError(None, f"{what} is declared twice: {places}. Rename one of them.")


# ---- what a bot says of itself -------------------------------------------------------------------------------------


def _check_bot(registry: Registry) -> None:
    """Refuse a bot for everything that is wrong with what it says, at once."""
    problems = [*_config_problems(registry), *_grant_problems(registry)]
    if problems:
        raise BotError("\n".join(f"{where(registry.bot.function)} {each}" for each in problems))


def _config_problems(registry: Registry) -> Iterable[str]:
    for key, values in registry.bot.config.items():
        service, _, label = key.partition(".")
        if service not in registry.services:
            yield f"config= names {service!r}. {_known(service, registry.services)}"
            continue
        providers = registry.services[service].providers
        if label and label not in providers:
            yield f"config= names the provider {key!r}. {_known(label, providers)}"
            continue
        chosen = [providers[label]] if label else list(providers.values())
        for name, value in values.items():
            yield from _value_problems(key, name, value, chosen)
        for provider in chosen:
            yield from (f"config= sets '{key}.{name}' twice, as {both}." for name, both in twice(provider, values))


def _value_problems(key: str, name: str, value: Any, providers: Sequence[Provider]) -> Iterable[str]:
    having = [(each, own) for each in providers if (own := each.present_name(name)) is not None]
    if not having:
        names = {option for provider in providers for option in provider.options}
        yield f"config= names the option '{key}.{name}'. {_known(name, names)}"
    problems = (problems_text(each.check_option(own, value)[1], value) for each, own in having)
    yield from (f"config= gives '{key}.{name}' a wrong value: {each}." for each in dict.fromkeys(problems) if each)


def twice(provider: Provider, names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Options that are named twice, by a former name and another one: each with the names as a text."""
    found: dict[str, list[str]] = {}
    for name in names:
        if (own := provider.present_name(name)) is not None:
            found.setdefault(own, []).append(name)
    return ((own, " and ".join(map(repr, each))) for own, each in found.items() if len(each) > 1)


def _grant_problems(registry: Registry) -> Iterable[str]:
    for grant in registry.bot.grants:
        if (problem := grant_problem(registry, grant)) is not None:
            yield f"client= {problem}"
    named: dict[str, str] = {}
    for grant in registry.bot.functions:
        problem = _function_problem(registry, grant.name, named) or grant_problem(registry, grant)
        if problem is not None:
            yield f"functions= {problem}"


def _function_problem(registry: Registry, granted: str, named: dict[str, str]) -> str | None:
    """Why a name is none of a function for an LLM."""
    _, colon, name = granted.partition(":")
    known = set(grantable(registry))
    if granted not in known:
        return f"grants {granted!r}. {_known(granted, (each for each in known if ':' in each))}"
    if not colon:
        return f"grants {granted!r}, which is an option. An LLM can call actions, as in 'bot:book_room'."
    if any(each.long for each in _having(registry, granted)):
        return f"grants {granted!r}, which is a long action. An LLM waits for the result: leave out long=True."
    if named.setdefault(name, granted) != granted:
        return f"grants both {named[name]!r} and {granted!r}. An LLM knows them by {name!r} alone: rename one."
    return None


def grant_problem(registry: Registry, grant: Grant, *, is_operators: bool = False) -> str | None:
    """What is wrong with a grant, a bot's or an operator's. One that would be ignored would allow too much.

    An operator's bounds are not shown: in the operator's part of a start anything may be a key.
    """
    known = set(grantable(registry))
    if grant.name not in known and not _is_former(registry, grant.name):
        return f"grants {grant.name!r}. {_known(grant.name, known)}"
    if ":" not in grant.name:
        return _option_grant_problem(registry, grant, is_operators)
    grant = renamed(registry, grant)
    arguments = _arguments(registry, grant.name)
    if grant.validator is not None:
        example = next(iter(arguments), "argument")
        return f"narrows {grant.name!r}, which is an action: name the argument, as in arguments={{{example!r}: …}}."
    if not grant.writable:
        return f"grants {grant.name!r} as not writable, but it is an action; leave the grant out instead."
    for name, validator in grant.arguments.items():
        if name not in arguments:
            return f"narrows the argument {name!r} of {grant.name!r}. {_known(name, arguments)}"
        shapes = [each.parameters[name].shape for each in _having(registry, grant.name) if name in each.parameters]
        if (problem := _unfit(shapes, validator, is_operators)) is not None:
            return f"narrows the argument {name!r} of {grant.name!r}, but it {problem}."
    return None


def _is_former(registry: Registry, granted: str) -> bool:
    """Whether a name, `"llm.engine"`, is a former name of an option."""
    service, _, name = granted.partition(".")
    return service in registry.services and any(
        name in provider.former_names for provider in registry.services[service].providers.values()
    )


def renamed(registry: Registry, grant: Grant) -> Grant:
    """A grant whose arguments go by their present names."""
    if ":" not in grant.name or not grant.arguments:
        return grant
    present = set(_arguments(registry, grant.name))
    parameters = [each for spec in _having(registry, grant.name) for each in spec.parameters.values()]
    names = {was: each.name for each in parameters for was in each.was}
    arguments: dict[str, Validator] = {}
    for name, validator in grant.arguments.items():
        own = name if name in present else names.get(name, name)
        arguments[own] = and_(arguments[own], validator) if own in arguments else validator
    validators = () if grant.validator is None else (grant.validator,)
    return Grant(grant.name, *validators, arguments=arguments, writable=grant.writable)


def _option_grant_problem(registry: Registry, grant: Grant, is_operators: bool) -> str | None:
    if grant.arguments:
        return f"narrows arguments of {grant.name!r}, which is an option."
    if grant.validator is None:
        return None
    service, _, name = grant.name.partition(".")
    having = ((each, each.present_name(name)) for each in registry.services[service].providers.values())
    shapes = [read(str)] if name == PROVIDER else [each.options[own][0].shape for each, own in having if own]
    problem = _unfit(shapes, grant.validator, is_operators)
    return f"narrows {grant.name!r}, but it {problem}." if problem is not None else None


def _unfit(shapes: Iterable[Shape], validator: Validator, is_operators: bool) -> str | None:
    """Why a grant's validator cannot narrow these types."""
    for shape in shapes:
        try:
            restriction(shape, validator)
        except UnsupportedType as error:
            return "has bounds that do not apply to its type" if is_operators else str(error)
    return None


def _arguments(registry: Registry, action: str) -> Iterable[str]:
    """The arguments of an action, `"tts:say"`, whichever provider has it."""
    return dict.fromkeys(argument for each in _having(registry, action) for argument in each.parameters)


def _having(registry: Registry, action: str) -> Sequence[ActionSpec]:
    """An action, `"tts:say"`, as each of the providers that have it declares it."""
    service, _, name = action.partition(":")
    offered = [registry.actions]
    if service != BOT:
        offered = [each.actions for each in registry.services[service].providers.values()]
    return [each[name] for each in offered if name in each]


def grantable(registry: Registry) -> Iterable[str]:
    """Everything that a grant may name."""
    yield from (f"{BOT}:{name}" for name in registry.actions)
    for service in registry.services.values():
        yield f"{service.name}.{PROVIDER}"
        for provider in service.providers.values():
            yield from (f"{service.name}.{name}" for name in provider.options)
            yield from (f"{service.name}:{name}" for name in provider.actions)


def _known(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"Did you mean {near!r}?"
    service = name.replace(".", ":").partition(":")[0]
    alike = [each for each in names if each.startswith((f"{service}.", f"{service}:"))] or names
    more = f" and {len(alike) - _LISTED} more" if len(alike) > _LISTED else ""
    return f"There is {', '.join(alike[:_LISTED])}{more}." if names else "There is none."
