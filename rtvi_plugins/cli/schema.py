"""`rtvi schema`: the API of a distribution as JSON, and the differences between two such files."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

from attrs import asdict

from ..declare.specs import ActionSpec, OptionsSpec, Parameter, specs_in
from ..loading import load_provider
from ..protocol.describe import describe_action, describe_parameter
from ..registry.installed_plugins import EntryPoint, Installed
from ..registry.modules import family_of
from ..utils.json_values import is_object
from ..utils.names import nearest
from .describe import declared, own_actions
from .failures import FAILED, OK, UsageError
from .schema_diff import Change, compare

__all__ = ("plugin_api", "run")

#: The version of the form of these files.
_FORM: Final = 1


def run(chosen: Namespace) -> int:
    """Write the API of a distribution, or compare two. The exit code says whether a difference is breaking."""
    match chosen.words:
        case ["diff", old, new]:
            changes = compare(_read(old), _read(new))
            sys.stdout.write(_as_json(changes) if chosen.json else _as_text(changes))
            return FAILED if any(each.level == "breaking" for each in changes) else OK
        case [name] if name != "diff":
            sys.stdout.write(f"{json.dumps(_api(name), indent=2, ensure_ascii=False)}\n")
            return OK
        case _:
            raise UsageError("Write: rtvi schema DISTRIBUTION, or: rtvi schema diff OLD NEW")


# ---- describing ----------------------------------------------------------------------------------------------------


def _api(name: str) -> dict[str, Any]:
    installed = Installed()
    entries = [each for each in installed.entries if each.distribution == name]
    if not entries:
        names = {each.distribution for each in installed.entries}
        near = nearest(name, names)
        hint = f"Did you mean {near!r}?" if near else "What is installed: rtvi plugins"
        raise UsageError(f"No distribution {name!r} with plugins is installed. {hint}")
    with redirect_stdout(sys.stderr):  # what a plugin prints while it is imported is not our output
        plugins = {each.name: plugin_api(installed, each) for each in entries}
    return {"rtvi_schema": _FORM, "distribution": name, "version": entries[0].version, "plugins": plugins}


def plugin_api(installed: Installed, entry: EntryPoint) -> dict[str, Any]:
    """Describe what a plugin declares itself, and not what every provider of its kind has."""
    if entry.kind is None:
        specs = [spec for each in family_of(installed, installed.load(entry)) for spec in specs_in(each)]
        return {"actions": _actions(declared(specs, ActionSpec)), "options": _options(declared(specs, OptionsSpec))}
    provider = load_provider(entry, installed)
    spec = provider.spec
    return {
        "description": spec.doc,
        **({"asyncio_only": True} if spec.asyncio_only else {}),
        "keys": {each.name: {"required": not each.optional} for each in spec.secrets},
        "service_options": {each.name: _parameter(each) for each in spec.parameters.values()},
        "actions": _actions((spec.kind, each) for each in own_actions(provider)),
        "options": _options((spec.kind, each) for each in provider.groups),
    }


def _actions(actions: Iterable[tuple[str, ActionSpec]]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for service, spec in actions:
        arguments = {each.name: _parameter(each) for each in spec.parameters.values()}
        described[f"{service}:{spec.name}"] = {**describe_action(service, spec, {}), "arguments": arguments}
    return described


def _options(groups: Iterable[tuple[str, OptionsSpec]]) -> dict[str, Any]:
    return {f"{name}.{each.name}": _parameter(each) for name, group in groups for each in group.parameters.values()}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {**describe_parameter(parameter), **({"was": list(parameter.was)} if parameter.was else {})}


# ---- comparing -----------------------------------------------------------------------------------------------------


def _read(file: str) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(Path(file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {type(error).__name__}. Write it with: rtvi schema NAME") from None
    if not is_object(found) or found.get("rtvi_schema") != _FORM or not is_object(found.get("plugins")):
        raise UsageError(f"{file} is not the API of a distribution in form {_FORM}. Write it with: rtvi schema NAME")
    return found


def _as_json(changes: Iterable[Change]) -> str:
    return f"{json.dumps([asdict(each) for each in changes], indent=2, ensure_ascii=False)}\n"


def _as_text(changes: Iterable[Change]) -> str:
    return "".join(f"{each.level:<13}  {each.path}\n    {each.sentence}\n" for each in changes) or "No differences.\n"
