"""`rtvi describe`: what a bot or a plugin offers, as text, as the protocol's descriptions, or as one JSON Schema.

A plugin is a provider, or a module of actions and hooks, and needs no bot.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..declare.specs import ActionSpec, LifespanSpec, OptionsSpec, ProviderSpec, Spec, Target, specs_in, specs_of
from ..declare.types import summary
from ..errors import BotError
from ..hookspecs import PROJECT
from ..loading import compose, load_provider
from ..protocol.describe import describe_action, describe_option, describe_parameter
from ..protocol.offer import Offer, Offers
from ..protocol.operator_fields import key_variable
from ..protocol.start_request import choose_providers
from ..registry.grants import Grants
from ..registry.installed_plugins import EntryPoint, Installed
from ..registry.modules import family_of
from ..registry.registry import Provider, Registry, Service
from ..utils.names import nearest
from .command_line import load, read_services
from .description_text import Described, actions_text, parameter_lines, table_lines, titled
from .failures import OK, UsageError, requested

__all__ = ("declared", "describe_plugin", "find_plugin", "own_actions", "run", "schema")

# ---- a plugin ------------------------------------------------------------------------------------------------------

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
        names = [(name, value) for module in family for name, value in vars(module).items()]
        hooks = [name for name, value in names if hasattr(value, f"{PROJECT}_impl")]
        parts, described = _module([spec for each in family for spec in specs_in(each)], hooks)
    else:
        provider = load_provider(entry, installed)
        doc = provider.spec.doc
        parts, described = _provider(provider)
    head = f"{entry.name}: {doc}" if doc else entry.name
    origin = f"{entry.distribution} {entry.version}, module {entry.module}"
    return entry.name, doc, described, "\n\n".join([f"{head}\n{origin}", *parts]) + "\n"


def _module(specs: Sequence[Spec], hooks: Sequence[str]) -> tuple[list[str], Described]:
    actions = [describe_action(service, spec, spec.narrowed) for service, spec in declared(specs, ActionSpec)]
    groups = declared(specs, OptionsSpec)
    services = dict.fromkeys(service for service, _ in groups)
    config = [_config(each, [group for service, group in groups if service == each]) for each in services]
    options = [{**each, "name": f"{of['name']}.{each['name']}"} for of in config for each in of["options"]]
    parts = [
        titled("Actions", [actions_text(actions)]),
        titled("Options", parameter_lines(options)),
        titled("Hooks", hooks),
    ]
    return parts, {"actions": actions, "config": config}


def _provider(provider: Provider) -> tuple[list[str], Described]:
    spec, of_kind = provider.spec, [name for group in provider.kind_groups for name in provider.effective(group)]
    own = own_actions(provider)
    actions = [describe_action(spec.kind, each, each.narrowed) for each in provider.actions.values()]
    config = _config(spec.kind, (*provider.groups, *provider.kind_groups))
    options = [each for each in config["options"] if each["name"] not in of_kind]
    also = [f"{spec.kind}.{name}" for name in of_kind]
    also += [f"{spec.kind}:{each.name}" for each in provider.actions.values() if each not in own]
    service_options = [describe_parameter(each) for each in spec.parameters.values()]
    note = ["It runs on asyncio only, not on trio."] if spec.asyncio_only else []
    parts = [
        *note,
        titled("Keys", table_lines(list(_keys_of(spec)))),
        titled("Service options, from the operator only", parameter_lines(service_options)),
        titled("Options", parameter_lines(options)),
        titled("Actions", [actions_text(describe_action(spec.kind, each, each.narrowed) for each in own)]),
        titled(f"Options and actions of every {spec.kind}", also),
    ]
    return parts, {"actions": actions, "config": [config]}


def _keys_of(spec: ProviderSpec) -> Iterator[tuple[str, str]]:
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


def _config(service: str, groups: Iterable[OptionsSpec]) -> Mapping[str, Any]:
    options: dict[str, Described] = {}
    for group in groups:
        for name, each in group.parameters.items():
            options.setdefault(name, describe_option(each, group.narrowed.get(name), {}, writable=True))
    return {"name": service, "service": service, "options": list(options.values())}


# ---- a bot ---------------------------------------------------------------------------------------------------------


def run(chosen: Namespace) -> int:
    """Describe a bot with its default providers, or with others that it names; or a plugin."""
    installed = Installed()
    entry = find_plugin(installed, chosen.bot)
    if entry is None:
        name, doc, described, text = _describe_bot(chosen, installed)
    elif chosen.services or chosen.dev or chosen.env:
        raise UsageError(f"{chosen.bot!r} is a plugin, and only a bot is described with --services, --dev or --env.")
    else:
        name, doc, described, text = describe_plugin(installed, entry)
    if chosen.schema:
        described = schema(name, doc, described["actions"], described["config"])
    as_json = f"{json.dumps(described, indent=2, ensure_ascii=False)}\n"
    sys.stdout.write(as_json if chosen.json or chosen.schema else text)
    return OK


def _describe_bot(chosen: Namespace, installed: Installed) -> tuple[str, str, Described, str]:
    registry, _ = compose(_load(chosen.bot, chosen.env, installed), installed)
    with requested():
        providers = choose_providers(read_services(chosen.services), registry.labels())
    offer = Offers(registry, Grants.of(registry, everything=chosen.dev)).get(providers)
    functions = Offers(registry, Grants.of(registry, registry.bot.functions)).get(providers)
    described = {**json.loads(offer.described_actions), **json.loads(offer.described_config)}
    return registry.bot.name, registry.bot.doc, described, _text(offer, functions, described)


def _load(target: str, env: str | None, installed: Installed) -> Any:
    try:
        return load(target, env)
    except BotError as error:
        near = nearest(target, [each.name for each in installed.entries])
        if near is None or target.endswith((".py", ".toml")):
            raise
        raise BotError(f"{error} Did you mean the plugin {near!r}?") from None


# ---- as a JSON Schema ----------------------------------------------------------------------------------------------


def schema(name: str, doc: str, actions: Sequence[Described], config: Sequence[Described]) -> dict[str, Any]:
    """Return a JSON Schema. Its `$defs` are arguments of actions (`tts:say`) and options of services (`llm`)."""
    arguments = {f"{each['service']}:{each['action']}": _object(each["arguments"], each) for each in actions}
    options = {each["name"]: _object(each["options"], each) for each in config}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **_filled(description=doc),
        "$defs": {**options, **arguments},
    }


def _object(parameters: Iterable[Described], described: Described) -> dict[str, Any]:
    # A change of config names some options; an action needs all its arguments that have no default.
    required = [each["name"] for each in parameters if each["required"] and "writable" not in each]
    return {
        "type": "object",
        **_filled(description=described.get("description"), deprecated="deprecated" in described, required=required),
        "properties": {each["name"]: _property(each) for each in parameters},
        "additionalProperties": False,
    }


def _property(described: Described) -> dict[str, Any]:
    default = {"default": described["default"]} if "default" in described else {}
    notes = {
        "description": described["description"],
        "deprecated": "deprecated" in described,
        "readOnly": not described.get("writable", True),
    }
    return {**described["schema"], **_filled(**notes), **default}


def _filled(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value}


# ---- for people ----------------------------------------------------------------------------------------------------


def _text(offer: Offer, functions: Offer, described: Described) -> str:
    registry = offer.registry
    filled = [each for each in registry.services.values() if not each.is_own]
    called = [describe_action(each.service, each.spec, each.restrictions) for each in functions.functions.values()]
    parts = [
        f"{registry.bot.name}: {registry.bot.doc}" if registry.bot.doc else registry.bot.name,
        titled("Services", (f"{each.name}  {_providers(each, offer.providers[each.name])}" for each in filled)),
        titled("Actions that clients may call", [actions_text(described["actions"])]),
        titled("Functions that the LLM may call", [actions_text(called)]),
        titled("Options that clients may read or set", _options(described["config"])),
        titled("Other options, for config= and the operator", _other_options(offer)),
    ]
    if keys := list(_keys(registry)):
        parts.append(titled("Keys, from the environment", table_lines(keys)))
    return "\n\n".join(parts) + "\n"


def _providers(service: Service, chosen: str) -> str:
    labels = service.chosen_from
    shown = {label: ", or ".join(choice.labels) for label, choice in labels.items()}
    return ", ".join(
        f"{shown[each]} (chosen)" if each == chosen and len(labels) > 1 else shown[each] for each in labels
    )


def _keys(registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield the environment variables of the keys that the providers and lifespans of a bot take, and for what."""
    owners: list[tuple[str, str, ProviderSpec | LifespanSpec]] = []
    for service in registry.services.values():
        owners += [(f"{service.name}.{label}", label, each.spec) for label, each in service.providers.items()]
    owners += [(f"lifespan {spec.name}", spec.name, spec) for spec in registry.lifespans.specs]
    takers: dict[tuple[str, str], list[str]] = {}
    for taker, name, spec in owners:
        for secret in spec.secrets:
            need = "optional" if secret.optional else "required"
            takers.setdefault((key_variable(name, secret.name), need), []).append(taker)
    for (variable, need), named in takers.items():
        yield variable, f"{need}, for {', '.join(named)}"


def _options(config: Iterable[Described]) -> Iterator[str]:
    for service in config:
        yield from parameter_lines(
            [{**each, "name": f"{service['name']}.{each['name']}"} for each in service["options"]]
        )


def _other_options(offer: Offer) -> Iterator[str]:
    """Yield the options that are not described for clients: those of a kind once, and those of each provider."""
    for service in offer.registry.services.values():
        chosen, offered = offer.chosen[service.name], offer.options[service.name]
        #: By the name, and whether it is a service option.
        blocks: dict[str, dict[tuple[str, bool], Described]] = {service.name: {}}
        for label, provider in service.providers.items():
            defaults = offer.registry.defaults(service.name, label)
            for name, (parameter, group) in provider.options.items():
                if name in offered and chosen.options.get(name, (None, None))[1] is group:
                    continue
                described = {**describe_parameter(parameter), "default": defaults[name]}
                block = service.name if group in provider.kind_groups else f"{service.name}.{label}"
                if blocks.setdefault(block, {}).setdefault((name, False), described) != described:
                    # The bot's config has another default for this provider.
                    blocks.setdefault(f"{service.name}.{label}", {})[name, False] = described
            for name, parameter in provider.spec.parameters.items():
                described = {**describe_parameter(parameter), "operator_only": True}
                blocks.setdefault(f"{service.name}.{label}", {})[name, True] = described
        for block, options in blocks.items():
            if options:
                yield block
                yield from parameter_lines(options.values(), "  ")
