"""Assemble the registry of a bot from its declarations. Reject conflicts, and invalid defaults, grants and personas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar, cast

from attrs import evolve

from ..declare.injected import injection_problem
from ..declare.lifespans import choose_lifespans
from ..declare.signature import problems_text
from ..declare.specs import BOT, ActionSpec, BotSpec, OptionsSpec, ProviderSpec, Spec, Target
from ..declare.targets import service_problem
from ..errors import BotError, DeclarationError
from ..session import Persona
from ..utils.error_texts import complaint, where
from ..utils.json_values import is_array, is_object, json_problem
from ..utils.names import nearest
from .grants import function_problem, grant_problem, known_names
from .registry import ITSELF, PROVIDER, Provider, Registry, Service, twice

__all__ = ("build", "build_provider", "check_personas", "config_problems")

Declared = TypeVar("Declared", ActionSpec, OptionsSpec)


def build(
    bot: BotSpec,
    providers: Mapping[str, Mapping[str, ProviderSpec]],
    specs: Sequence[Spec],
    families: Sequence[Collection[str]] = (),
) -> Registry:
    """Build the registry of a bot from its providers, by service and label, and from all loaded declarations.

    `families` are the names of modules that belong together. Raise `DeclarationError` if a name is declared twice or
    a lifespan is missing, and `BotError` for invalid defaults or grants.
    """
    services = {
        name: Service(
            name,
            bot.kinds[name],
            {label: build_provider(label, spec, specs) for label, spec in labelled.items()},
            bot.choices.get(name, ()),
        )
        for name, labelled in providers.items()
    }
    registry = Registry(bot, {**services, **_own_services(bot, specs)}, _own_actions(bot, specs))
    _check_bot(registry)
    return evolve(registry, lifespans=choose_lifespans(registry.specs, specs, families))


def _own_actions(bot: BotSpec, specs: Iterable[Spec]) -> dict[str, dict[str, ActionSpec]]:
    """Return the bot's own actions, by service and name. Raise `DeclarationError` for those that do not fit it."""
    by_service: dict[str, list[ActionSpec]] = {BOT: []}
    for spec in _declared_on(ActionSpec, specs, BOT, bot.function):
        if (problem := injection_problem(spec.given, bot) or service_problem(spec.service, bot)) is not None:
            raise DeclarationError(spec.function, problem)
        by_service.setdefault(spec.service, []).append(spec)
    own = {service: _actions_by_name(each, service) for service, each in by_service.items()}
    _reject_messages_twice(own)
    return own


def _own_services(bot: BotSpec, specs: Iterable[Spec]) -> dict[str, Service]:
    """Return the services of the bot's own options, each with the bot as its only provider."""
    groups_by_service: dict[str, list[OptionsSpec]] = {}
    for spec in _declared_on(OptionsSpec, specs, BOT, bot.function):
        if (problem := service_problem(spec.service, bot)) is not None:
            raise DeclarationError(spec.function, problem)
        groups_by_service.setdefault(spec.service, []).append(spec)
    for service, groups in groups_by_service.items():
        _reject_options_twice(groups, service)
    return {
        service: Service(service, BOT, {BOT: Provider(BOT, ITSELF, (), tuple(groups), {})})
        for service, groups in groups_by_service.items()
    }


def _reject_messages_twice(own: Mapping[str, Mapping[str, ActionSpec]]) -> None:
    """Reject a client message that two actions handle. The name of an action in the service "bot" is one as well."""
    message_actions = dict(own[BOT])
    for spec in (action for actions in own.values() for action in actions.values()):
        if spec.message is not None and message_actions.setdefault(spec.message, spec) is not spec:
            _reject_second(f"the client message {spec.message!r}", message_actions[spec.message], spec)


def build_provider(label: str, spec: ProviderSpec, specs: Iterable[Spec]) -> Provider:
    """Return a provider with its options and actions, and those of its kind, from all loaded declarations."""
    own, kind = _declared_on(OptionsSpec, specs, spec.function), _declared_on(OptionsSpec, specs, spec.kind)
    for each in (own, kind):
        _reject_options_twice(each, f"{spec.kind}.{spec.provider}")
    of_kind, of_provider = _declared_on(ActionSpec, specs, spec.kind), _declared_on(ActionSpec, specs, spec.function)
    offered = {**_actions_by_name(of_kind, spec.kind), **_actions_by_name(of_provider, f"{spec.kind}.{spec.provider}")}
    return Provider(label, spec, tuple(own), tuple(kind), offered)


def _declared_on(family: type[Declared], specs: Iterable[Spec], *targets: Target) -> list[Declared]:
    """Return the options or actions that are declared on one of these targets."""
    declared = [spec for spec in specs if isinstance(spec, family)]
    return [spec for spec in declared if any(target in targets for target in spec.targets)]


def _actions_by_name(actions: Iterable[ActionSpec], on: str) -> dict[str, ActionSpec]:
    actions_by_name: dict[str, ActionSpec] = {}
    for spec in actions:
        if spec.name in actions_by_name and actions_by_name[spec.name] is not spec:
            _reject_second(f"the action {spec.name!r} of {on!r}", actions_by_name[spec.name], spec)
        actions_by_name[spec.name] = spec
    return actions_by_name


def _reject_options_twice(groups: Iterable[OptionsSpec], on: str) -> None:
    group_of_option: dict[str, OptionsSpec] = {}
    for group in groups:
        for name in (name for parameter in group.parameters.values() for name in (parameter.name, *parameter.was)):
            if name == PROVIDER:
                message = f"declares the option {PROVIDER!r}, which is the framework's own. Choose another name."
                raise DeclarationError(group.function, message)
            if name in group_of_option:
                _reject_second(f"the option {name!r} of {on!r}", group_of_option[name], group)
            group_of_option[name] = group


def _reject_second(what: str, first: Any, second: Any) -> None:
    places = f"{where(first.function)} and {where(second.function)}"
    raise DeclarationError(None, f"{what} is declared twice: {places}. Rename one of them.")


# ---- the arguments of @bot -----------------------------------------------------------------------------------------


def _check_bot(registry: Registry) -> None:
    """Raise one `BotError` with every problem of the bot's config and grants."""
    problems = [*config_problems(registry, registry.bot.config), *_grant_problems(registry)]
    if problems:
        raise BotError("\n".join(complaint(registry.bot.function, problem) for problem in problems))


def config_problems(
    registry: Registry, config: Mapping[str, Mapping[str, Any]], what: str = "config=", *, fits_all: bool = True
) -> Iterable[str]:
    """Yield the problems of options by service, or by `service.provider`. `what` names the config.

    `fits_all` says whether an option of a service must fit all its providers that have it, or one of them.
    """
    for key, values in config.items():
        service, _, label = key.partition(".")
        if service not in registry.services:
            yield f"{what} names {service!r}. {known_names(service, registry.services)}"
            continue
        providers = registry.services[service].providers
        if label in registry.left_out(service):
            continue
        if label and label not in providers:
            yield f"{what} names the provider {key!r}. {known_names(label, providers)}"
            continue
        chosen = [providers[label]] if label else list(providers.values())
        for name, value in values.items():
            yield from (f"{what} {problem}" for problem in _option_value_problems(key, name, value, chosen, fits_all))
        for provider in chosen:
            yield from (f"{what} sets '{key}.{name}' twice, as {both}." for name, both in twice(provider, values))


def _option_value_problems(
    key: str, name: str, value: Any, providers: Sequence[Provider], fits_all: bool
) -> Iterable[str]:
    having = [(each, own) for each in providers if (own := each.present_name(name)) is not None]
    if not having:
        names = {option for provider in providers for option in provider.options}
        yield f"names the option '{key}.{name}'. {known_names(name, names)}"
    if (bad := json_problem(value)) is not None and (is_object(value) or is_array(value)):
        # First, because a check against the option's type does not end for a value that contains itself.
        problems = [": ".join(bad).removeprefix("$: ")] if having else []
    else:
        problems = [problems_text(each.check_option(own, value)[1], value) for each, own in having]
    if fits_all or all(problems):
        yield from (f"gives '{key}.{name}' a wrong value: {problem}." for problem in dict.fromkeys(problems) if problem)


def _grant_problems(registry: Registry) -> Iterable[str]:
    for grant in registry.bot.grants:
        if (problem := grant_problem(registry, grant)) is not None:
            yield f"client= {problem}"
    named: dict[str, str] = {}
    for grant in registry.bot.functions:
        problem = function_problem(registry, grant.name, named) or grant_problem(registry, grant)
        if problem is not None:
            yield f"functions= {problem}"


def check_personas(registry: Registry, module: ModuleType) -> None:
    """Raise `BotError` with every problem of the personas in a module: options and functions that do not exist.

    They are constants, or in a constant list, tuple or dict.
    """
    personas = {id(persona): (name, persona) for name, persona in _persona_constants(module)}
    problems = [
        problem for name, persona in personas.values() for problem in _persona_problems(registry, name, persona)
    ]
    if problems:
        raise BotError("\n".join(complaint(registry.bot.function, problem) for problem in problems))


def _persona_constants(module: ModuleType) -> Iterator[tuple[str, Persona]]:
    for name, value in vars(module).items():
        members: Iterable[tuple[str, Any]] = [(name, value)]
        if isinstance(value, dict):
            members = [(f"{name}[{key!r}]", each) for key, each in cast("dict[Any, Any]", value).items()]
        elif isinstance(value, list | tuple):
            members = [(f"{name}[{index}]", each) for index, each in enumerate(cast("list[Any]", value))]
        yield from ((label, each) for label, each in members if isinstance(each, Persona))


def _persona_problems(registry: Registry, name: str, persona: Persona) -> Iterator[str]:
    config = {
        key: {option: value for option, value in values.items() if option != PROVIDER}
        for key, values in persona.config.items()
    }
    yield from config_problems(registry, config, f"the persona {name}: config=", fits_all=False)
    for key, values in persona.config.items():
        if PROVIDER in values and key in registry.services:
            labels = {*registry.services[key].providers, *registry.left_out(key)}
            if values[PROVIDER] not in labels:
                hint = known_names(str(values[PROVIDER]), labels)
                yield f"the persona {name}: config= chooses the {key} provider {values[PROVIDER]!r}. {hint}"
    yield from _persona_function_problems(registry, name, persona)


def _persona_function_problems(registry: Registry, name: str, persona: Persona) -> Iterator[str]:
    """Yield the problems that are certain. A function that is unknown here may be one that the client offers."""
    granted = {each.name.partition(":")[2] or each.name for each in registry.bot.functions}
    own = {action.name for action in registry.own_actions}
    for function in persona.functions or ():
        if function in granted:
            continue
        if function in own:
            yield f"the persona {name}: functions= names {function!r}, which @bot(functions=…) does not grant."
        elif near := nearest(function, granted):
            yield f"the persona {name}: functions= names {function!r}. Did you mean {near!r}?"
