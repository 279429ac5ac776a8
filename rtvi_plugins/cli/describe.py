"""`rtvi describe`: what a bot or a plugin offers, as text, as the protocol's descriptions, or as one JSON Schema.

A plugin is a provider, or a module of actions and hooks, and needs no bot. Texts for people are at most 100 columns
wide.

The module has more than 300 lines because a bot and a plugin are described by the same texts.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent, wrap
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..cli import OK, UsageError, load, read_services, requested
from ..declare.specs import ActionSpec, OptionsSpec, ProviderSpec, Spec, Target, specs_in, specs_of
from ..declare.types import summary
from ..errors import BotError
from ..hookspecs import PROJECT
from ..loading import load_provider
from ..protocol.describe import describe_action, describe_option, describe_parameter
from ..protocol.start_request import key_variable
from ..registry.installed_plugins import EntryPoint, Installed
from ..registry.modules import family_of
from ..registry.registry import Provider
from ..utils.json_values import is_object
from ..utils.names import nearest

if TYPE_CHECKING:
    from ..protocol.offer import Offer
    from ..registry.installed_plugins import Installed
    from ..registry.registry import Registry, Service

__all__ = (
    "Described",
    "action_lines",
    "actions_text",
    "declared",
    "describe_plugin",
    "facts",
    "find_plugin",
    "merge_all_of",
    "own_actions",
    "parameter_lines",
    "run",
    "schema",
    "table_lines",
    "titled",
)

# ---- texts for people ----------------------------------------------------------------------------------------------

#: What `rtvi_plugins.protocol.describe` returns, or a JSON Schema.
Described: TypeAlias = "Mapping[str, Any]"

_WIDTH = 98  # each section is indented by two


def titled(title: str, lines: Iterable[str]) -> str:
    """Return a section of a description."""
    return f"{title}\n" + indent("\n".join(lines) or "none", "  ")


def table_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. Each column is as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(map(str.ljust, cells, widths)).rstrip()


def actions_text(actions: Iterable[Described]) -> str:
    """Return the actions with their arguments, results and descriptions."""
    return "\n".join(line for action in actions for line in action_lines(action))


def action_lines(action: Described) -> Iterator[str]:
    """Yield the lines of one action."""
    names = ", ".join(each["name"] for each in action["arguments"])
    long = ", in the background" if action.get("long") else ""
    yield f"{action['service']}:{action['action']}({names}) -> {action['result']}{long}"
    yield from _notes(action, "    ")
    if "message" in action:
        yield f"    Called by the client message {_shown(action['message'])}."
    yield from parameter_lines(action["arguments"], "    ")
    if fields := list(_fields(action["result_schema"], "      ", checked=False)):
        yield "    result"
        yield from fields


def parameter_lines(parameters: Iterable[Described], margin: str = "") -> Iterator[str]:
    """Yield the lines of arguments or options: name, type and bounds, documentation, and the fields of objects."""
    listed = list(parameters)
    width = max((len(each["name"]) for each in listed), default=0)
    inner = f"{margin}{' ' * width}  "
    for each in listed:
        yield from _wrapped(", ".join(facts(each)), f"{margin}{each['name']:<{width}}  ", inner)
        yield from _notes(each, inner)
        yield from _fields(each["schema"], inner)


def _notes(described: Described, margin: str) -> Iterator[str]:
    for line in (described.get("description") or "").splitlines():
        yield from _wrapped(line, margin, margin)
    if isinstance(said := described.get("deprecated"), str):
        yield from _wrapped(f"Deprecated: {said}".rstrip(": "), margin, margin)


def _wrapped(text: str, first: str, rest: str) -> Iterator[str]:
    yield from wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


# ---- nested types --------------------------------------------------------------------------------------------------


def _fields(schema: Described, margin: str, *, checked: bool = True) -> Iterator[str]:
    """Yield the lines of the fields of the objects in a schema. `checked` says which of them are required."""
    objects = list(_objects(schema))
    for each in objects:
        if len(objects) > 1:
            yield f"{margin}{each.get('title', 'object')}"
        required = each.get("required", ()) if checked else ()
        fields = [
            {"required": name in required, "description": "", **field, "name": name, "schema": field}
            for name, field in each["properties"].items()
        ]
        yield from parameter_lines(fields, f"{margin}  " if len(objects) > 1 else margin)


def _objects(schema: Described) -> Iterator[Described]:
    """Yield the objects with known fields: the schema itself, or its items, values or members."""
    schema = merge_all_of(schema)
    if schema.get("properties"):
        yield schema
        return
    parts: list[Any] = [schema.get("items"), schema.get("additionalProperties")]
    for each in (*parts, *schema.get("prefixItems", ()), *schema.get("anyOf", ())):
        if is_object(each):
            yield from _objects(each)


def merge_all_of(schema: Described) -> dict[str, Any]:
    """Return a schema with the bounds that a grant adds in `allOf`. The narrower one of two stays."""
    joined = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema.get("allOf", ()):
        for name, value in merge_all_of(part).items():
            joined[name] = _narrower(name, joined[name], value) if name in joined else value
    return joined


def _narrower(keyword: str, one: Any, other: Any) -> Any:
    match keyword:
        case "properties":
            both = {name: {"allOf": [one[name], other[name]]} for name in one if other.get(name)}
            return {name: each for name, each in {**one, **other, **both}.items() if each is not False}
        case "items" if other is not False:
            return {"allOf": [one, other]}
        case "enum":
            return [each for each in one if each in other]
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems":
            return max(one, other)
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems":
            return min(one, other)
        case "description":
            return one
        case _:
            return other


# ---- types and bounds ----------------------------------------------------------------------------------------------


def facts(parameter: Described) -> Iterator[str]:
    """Yield the type, the bounds and the default of an argument or option, in words."""
    schema = merge_all_of(parameter["schema"])
    yield _type(schema)
    yield from _bounds(schema)
    if parameter["required"]:
        yield "required"
    elif "default" in parameter:
        yield f"default {_shown(parameter['default'])}"
    if not parameter.get("writable", True):
        yield "read only"
    if parameter.get("operator_only"):
        yield "service option"


_TYPES = {"boolean": "bool", "integer": "whole number"}


def _type(schema: Described) -> str:
    """Return the type in words. Null is named by `_bounds`."""
    schema = merge_all_of(schema)
    if "anyOf" in schema:
        words = [_type(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    choices = schema.get("enum", [schema["const"]] if "const" in schema else ())
    if choices and "type" not in schema:
        return " or ".join(dict.fromkeys(_type_of_value(each) for each in choices))
    found = schema.get("type", "any JSON")
    words = [_TYPES.get(each, each) for each in ([found] if isinstance(found, str) else found)]
    items = schema.get("items")
    if words == ["array"] and is_object(items):
        return f"array of {_type(items)}"
    return " or ".join(words)


def _type_of_value(value: Any) -> str:
    names: dict[type, str] = {bool: "bool", int: "number", float: "number", str: "string"}
    return names.get(value.__class__, "null")


_BOUNDS: Mapping[str, str] = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "as in /{}/",
}


def _bounds(schema: Described, choice: str = "one of") -> Iterator[str]:
    bounds = [form.format(schema[name]) for name, form in _BOUNDS.items() if name in schema]
    if bounds:
        yield " ".join(bounds)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        choice = "always" if len(choices) == 1 and choice == "one of" else choice
        yield f"{choice} {' '.join(_shown(each) for each in choices)}"
        return  # a grant has narrowed the value to these, whatever the members suggest
    for member in schema.get("anyOf", ()):
        if member.get("type") == "null":
            yield "or null"
        else:
            yield from _bounds(merge_all_of(member), "such as" if {"type": "string"} in schema["anyOf"] else "one of")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


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
        titled("Keys", table_lines(list(_keys_of(spec)))),
        titled("Service options, from the operator only", parameter_lines(service_options)),
        titled("Options", parameter_lines(options)),
        titled("Actions", [line for each in own for line in action_lines(_action(spec.kind, each))]),
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


def _action(service: str, spec: ActionSpec) -> dict[str, Any]:
    return describe_action(service, spec, spec.narrowed)


def _config(service: str, groups: Iterable[OptionsSpec]) -> Mapping[str, Any]:
    options: dict[str, Described] = {}
    for group in groups:
        for name, each in group.parameters.items():
            options.setdefault(name, describe_option(each, group.narrowed.get(name), {}, writable=True))
    return {"name": service, "service": service, "options": list(options.values())}


# ---- a bot ---------------------------------------------------------------------------------------------------------


def run(chosen: Namespace) -> int:
    """Describe a bot with its default providers, or with others that it names; or a plugin."""
    from ..registry.installed_plugins import Installed

    installed = Installed()
    entry = find_plugin(installed, chosen.bot)
    if entry is None:
        name, doc, described, text = _describe_bot(chosen, installed)
    elif chosen.services or chosen.dev or chosen.env:
        raise UsageError(f"{chosen.bot!r} is a plugin, and only a bot is described with --services, --dev or --env.")
    else:
        name, doc, described, text = describe_plugin(installed, entry)
    if chosen.json:
        sys.stdout.write(_json(described))
    elif chosen.schema:
        sys.stdout.write(_json(schema(name, doc, described["actions"], described["config"])))
    else:
        sys.stdout.write(text)
    return OK


def _describe_bot(chosen: Namespace, installed: Installed) -> tuple[str, str, Described, str]:
    from ..loading import compose
    from ..protocol.offer import Offers
    from ..protocol.start_request import choose_providers
    from ..registry.grants import Grants

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


def _json(described: Any) -> str:
    return f"{json.dumps(described, indent=2, ensure_ascii=False)}\n"


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
    from ..protocol.describe import describe_action

    registry = offer.registry
    filled = [each for each in registry.services.values() if not each.is_own]
    called = [describe_action(each.service, each.spec, each.restrictions) for each in functions.functions.values()]
    parts = [
        f"{registry.bot.name}: {registry.bot.doc}" if registry.bot.doc else registry.bot.name,
        titled("Services", (f"{each.name}  {_providers(each, offer.providers[each.name])}" for each in filled)),
        titled("Actions that clients may call", [actions_text(described["actions"])] if described["actions"] else ()),
        titled("Functions that the LLM may call", [line for each in called for line in action_lines(each)]),
        titled("Options of clients", _options(described["config"])),
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
    from ..protocol.start_request import key_variable

    found: dict[str, tuple[bool, list[str]]] = {}
    for service in registry.services.values():
        for label, provider in service.providers.items():
            for each in provider.spec.secrets:
                found.setdefault(key_variable(label, each.name), (each.optional, []))[1].append(
                    f"{service.name}.{label}"
                )
    for spec in registry.lifespans.specs:
        for each in spec.secrets:
            found.setdefault(key_variable(spec.name, each.name), (each.optional, []))[1].append(f"lifespan {spec.name}")
    for variable, (is_optional, takers) in found.items():
        need = "optional" if is_optional else "required"
        yield variable, f"{need}, for {', '.join(takers)}"


def _options(config: Iterable[Described]) -> Iterator[str]:
    for service in config:
        yield from parameter_lines(
            [{**each, "name": f"{service['name']}.{each['name']}"} for each in service["options"]]
        )


def _other_options(offer: Offer) -> Iterator[str]:
    """Yield the options that are not described for clients: those of a kind once, and those of each provider."""
    from ..protocol.describe import describe_parameter

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
