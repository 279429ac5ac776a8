"""`rtvi describe`: what a bot or a plugin offers, as text, as the protocol's descriptions, or as one JSON Schema."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..cli import OK, UsageError, load, read_services, requested
from ..errors import BotError
from ..utils.diagnostics import nearest
from .description import Described, action_lines, actions_text, parameter_lines, table_lines, titled

if TYPE_CHECKING:
    from ..protocol.offer import Offer
    from ..registry.installed import Installed
    from ..registry.registry import Registry, Service

__all__ = ("run", "schema")


def run(chosen: Namespace) -> int:
    """Describe a bot with its default providers, or with others that it names; or a plugin."""
    from ..registry.installed import Installed
    from .describe_plugin import describe_plugin, find_plugin

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
    from ..protocol.start import choose_providers
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
    from ..protocol.operator_fields import key_variable

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
        chosen, offered = offer.provider(service.name), offer.options[service.name]
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
