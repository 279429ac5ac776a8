"""What a line that is typed into the console may go on with: commands, actions, arguments, options and their values."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define

from ..utils.json_values import is_object

__all__ = ("Completions",)


@define
class Completions:
    """The words of one session. `actions` and `options` are its descriptions, as clients receive them."""

    commands: Collection[str]
    actions: Sequence[Mapping[str, Any]] = ()
    options: Sequence[Mapping[str, Any]] = ()

    def of(self, line: str) -> list[str]:
        """Return what the last word of a line may become. A word that is complete ends with a space."""
        *before, word = line.split(" ")
        return [each for each in self._candidates([each for each in before if each], word) if each.startswith(word)]

    def _candidates(self, before: Sequence[str], word: str) -> Iterable[str]:
        match before:
            case []:
                return [f"{each} " for each in self.commands] if word else []
            case ["/call"]:
                return [f"{_name(each)} " for each in self.actions]
            case ["/call", action, *given]:
                arguments = [each["arguments"] for each in self.actions if _name(each) == action]
                named = {each["name"]: each for found in arguments for each in found}
                return _assignments(named, given, word)
            case ["/set", *given]:
                options = {
                    f"{service['name']}.{each['name']}": each for service in self.options for each in service["options"]
                }
                return _assignments(options, given, word)
            case _:
                return []


def _name(action: Mapping[str, Any]) -> str:
    return f"{action['service']}:{action['action']}"


def _assignments(described: Mapping[str, Mapping[str, Any]], given: Sequence[str], word: str) -> Iterator[str]:
    """Yield `name=` for each name that is not given yet, or `name=value` for the known values of a name."""
    name, sign, _ = word.partition("=")
    if sign:
        values = _values(described[name]) if name in described else ()
        yield from (f"{name}={shlex.quote(each)} " for each in values)
    else:
        taken = {each.partition("=")[0] for each in given}
        yield from (f"{each}=" for each in described if each not in taken)


def _values(described: Mapping[str, Any]) -> list[str]:
    """Return the values that a description lists, as they are typed."""
    if described.get("type") == "bool":
        return ["true", "false"]
    return [each for each in _listed(described.get("schema")) if isinstance(each, str)]


def _listed(schema: Any) -> Iterator[Any]:
    if is_object(schema):
        yield from schema.get("enum") or ()
        for each in schema.get("anyOf") or ():
            yield from _listed(each)
