"""`rtvi describe`: what a bot offers its clients, as text, as the protocol's descriptions, or as one JSON Schema."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any, TypeAlias

from ..cli import OK, load, read_services, requested

__all__ = ("actions_text", "run", "schema")

Described: TypeAlias = "Mapping[str, Any]"


def run(chosen: Namespace) -> int:
    """Describe a bot with its default providers, or with others that it names."""
    from ..loading import compose
    from ..protocol.offer import Offers
    from ..protocol.start import choose_providers
    from ..registry.grants import Grants
    from ..registry.installed import Installed

    registry, _ = compose(load(chosen.bot), Installed())
    with requested():
        providers = choose_providers(read_services(chosen.services), registry.labels())
    offer = Offers(registry, Grants.of(registry, everything=chosen.dev)).get(providers)
    described = {**json.loads(offer.described_actions), **json.loads(offer.described_config)}
    if chosen.json:
        sys.stdout.write(_json(described))
    elif chosen.schema:
        sys.stdout.write(_json(schema(registry.bot.name, registry.bot.doc, described["actions"], described["config"])))
    else:
        services = {name: list(service.providers) for name, service in registry.services.items()}
        sys.stdout.write(_text(registry.bot.name, registry.bot.doc, services, providers, described))
    return OK


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


def _text(
    name: str, doc: str, services: Mapping[str, Sequence[str]], providers: Mapping[str, str], described: Described
) -> str:
    parts = [
        f"{name}: {doc}" if doc else name,
        _titled("Services", (f"{each}  {_providers(labels, providers[each])}" for each, labels in services.items())),
        _titled("Actions that clients may call", [actions_text(described["actions"])] if described["actions"] else ()),
        _titled("Options of clients", _options(described["config"])),
    ]
    return "\n\n".join(parts) + "\n"


def _titled(title: str, lines: Iterable[str]) -> str:
    return f"{title}\n" + indent("\n".join(lines) or "none", "  ")


def _providers(labels: Sequence[str], chosen: str) -> str:
    return ", ".join(f"{each} (chosen)" if each == chosen and len(labels) > 1 else each for each in labels)


def actions_text(actions: Iterable[Described]) -> str:
    """Return the actions with their arguments, results and descriptions."""
    return "\n".join(line for action in actions for line in _action(action))


def _action(action: Described) -> Iterator[str]:
    names = ", ".join(each["name"] for each in action["arguments"])
    long = ", in the background" if action.get("long") else ""
    yield f"{action['service']}:{action['action']}({names}) -> {action['result']}{long}"
    yield from _notes(action, "    ")
    yield from _parameters(action["arguments"], "    ")


def _options(config: Iterable[Described]) -> Iterator[str]:
    for service in config:
        yield from _parameters([{**each, "name": f"{service['name']}.{each['name']}"} for each in service["options"]])


def _parameters(parameters: Sequence[Described], margin: str = "") -> Iterator[str]:
    width = max((len(each["name"]) for each in parameters), default=0)
    for each in parameters:
        yield f"{margin}{each['name']:<{width}}  {', '.join(_facts(each))}"
        yield from _notes(each, f"{margin}{' ' * width}  ")


def _notes(described: Described, margin: str) -> Iterator[str]:
    yield from (f"{margin}{line}" for line in (described.get("description") or "").splitlines())
    if "deprecated" in described:
        yield f"{margin}Deprecated: {described['deprecated']}"


def _facts(parameter: Described) -> Iterator[str]:
    type = parameter["type"]
    yield "whole number" if parameter["schema"].get("type") == "integer" else type
    yield from _bounds(parameter["schema"])
    if parameter["required"]:
        yield "required"
    elif "default" in parameter:
        yield f"default {_shown(parameter['default'])}"
    if not parameter.get("writable", True):
        yield "read only"


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
    if "enum" in schema:
        yield f"{choice} {' '.join(_shown(each) for each in schema['enum'])}"
    for member in schema.get("anyOf", ()):
        if member.get("type") == "null":
            yield "or null"
        else:
            yield from _bounds(member, "such as" if {"type": "string"} in schema["anyOf"] else "one of")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
