"""`rtvi describe PLUGIN`: a provider, or a plugin of actions and hooks, without a bot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from ..declare.shapes import summary
from ..declare.specs import ActionSpec, OptionsSpec, ProviderSpec, Spec, Target, specs_in, specs_of
from ..hookspecs import PROJECT
from ..loading import load_provider
from ..protocol.describe import describe_action, describe_option, describe_parameter
from ..protocol.operator_fields import key_variable
from ..registry.installed import EntryPoint, Installed
from ..registry.plugin_loading import family_of
from ..registry.registry import Provider
from .description import Described, action_lines, parameter_lines, table_lines, titled

__all__ = ("declared", "describe_plugin", "find_plugin", "own_actions")

_Declared = TypeVar("_Declared", ActionSpec, OptionsSpec)


def find_plugin(installed: Installed, name: str) -> EntryPoint | None:
    """Return the plugin of a name such as "llm.openai" or "audit", also with its distribution; None if there is none.

    Raise `PluginError` if several distributions offer it.
    """
    kind, dot, provider = name.partition(".")
    if dot and any(each.kind == kind and provider in (each.provider, each.qualified) for each in installed.entries):
        return installed.provider(kind, provider)
    if any(each.kind is None and name in (each.name, each.qualified) for each in installed.entries):
        return installed.module(name)
    return None


def describe_plugin(installed: Installed, entry: EntryPoint) -> tuple[str, str, Described, str]:
    """Return the name of a plugin, its documentation, its actions and options as data, and all of it as text."""
    if entry.kind is None:
        family = family_of(installed, installed.load(entry))
        doc = summary(family[0].__doc__)
        parts, described = _module([spec for each in family for spec in specs_in(each)], list(_hooks(family)))
    else:
        provider = load_provider(entry, installed)
        doc = provider.spec.doc
        parts, described = _provider(provider)
    head = f"{entry.name}: {doc}" if doc else entry.name
    origin = f"{entry.distribution} {entry.version}, module {entry.module}"
    return entry.name, doc, described, "\n\n".join([f"{head}\n{origin}", *parts]) + "\n"


def _module(specs: Sequence[Spec], hooks: Sequence[str]) -> tuple[list[str], Described]:
    actions = [_action(service, each) for service, each in declared(specs, ActionSpec)]
    groups = declared(specs, OptionsSpec)
    services = dict.fromkeys(service for service, _ in groups)
    config = [_config(each, [group for service, group in groups if service == each]) for each in services]
    options = [{**each, "name": f"{of['name']}.{each['name']}"} for of in config for each in of["options"]]
    parts = [
        titled("Actions", [line for each in actions for line in action_lines(each)]),
        titled("Options", parameter_lines(options)),
        titled("Hooks", hooks),
    ]
    return parts, {"actions": actions, "config": config}


def _hooks(modules: Iterable[ModuleType]) -> Iterator[str]:
    for module in modules:
        yield from (name for name, value in vars(module).items() if hasattr(value, f"{PROJECT}_impl"))


def _provider(provider: Provider) -> tuple[list[str], Described]:
    spec, of_kind = provider.spec, [name for group in provider.kind_groups for name in provider.effective(group)]
    own = own_actions(provider)
    actions = [_action(spec.kind, each) for each in provider.actions.values()]
    config = _config(spec.kind, (*provider.groups, *provider.kind_groups))
    options = [each for each in config["options"] if each["name"] not in of_kind]
    also = [f"{spec.kind}.{name}" for name in of_kind]
    also += [f"{spec.kind}:{each.name}" for each in provider.actions.values() if each not in own]
    service_options = [describe_parameter(each) for each in spec.parameters.values()]
    note = ["It runs on asyncio only, not on trio."] if spec.asyncio_only else []
    parts = [
        *note,
        titled("Keys", table_lines(list(_keys(spec)))),
        titled("Service options, from the operator only", parameter_lines(service_options)),
        titled("Options", parameter_lines(options)),
        titled("Actions", [line for each in own for line in action_lines(_action(spec.kind, each))]),
        titled(f"Options and actions of every {spec.kind}", also),
    ]
    return parts, {"actions": actions, "config": [config]}


def _keys(spec: ProviderSpec) -> Iterator[tuple[str, str]]:
    for each in spec.secrets:
        need = "optional" if each.optional else "required"
        page = f", made at {spec.key_page}" if spec.key_page else ""
        yield each.name, f"{need}, {key_variable(spec.provider, each.name)}{page}"


def own_actions(provider: Provider) -> list[ActionSpec]:
    """Return the actions that a provider declares itself, without those of its kind."""
    return [each for each in provider.actions.values() if provider.spec.function in each.targets]


def declared(specs: Iterable[Spec], cls: type[_Declared]) -> list[tuple[str, _Declared]]:
    """Return the actions or the groups of options, each with a service under which clients see it."""
    return [(service, each) for each in specs if isinstance(each, cls) for service in _services_of(each)]


def _services_of(spec: ActionSpec | OptionsSpec) -> Iterator[str]:
    """Yield the names under which clients see what a plugin declares: of its kinds, or of the bot."""
    for each in spec.targets:
        name = _kind(each)
        yield spec.service if name == "bot" else name


def _kind(target: Target) -> str:
    if isinstance(target, str):
        return target
    return next((each.kind for each in specs_of(target) if isinstance(each, ProviderSpec)), "bot")


def _action(service: str, spec: ActionSpec) -> dict[str, Any]:
    return describe_action(service, spec, spec.narrowed)


def _config(service: str, groups: Iterable[OptionsSpec]) -> Mapping[str, Any]:
    options: dict[str, Described] = {}
    for group in groups:
        for name, each in group.parameters.items():
            options.setdefault(name, describe_option(each, group.narrowed.get(name), {}, writable=True))
    return {"name": service, "service": service, "options": list(options.values())}
