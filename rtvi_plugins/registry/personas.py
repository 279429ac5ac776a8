"""Check the personas that a bot's module holds as constants, before a session hands over to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, cast

from ..errors import BotError
from ..session import Persona
from ..utils.diagnostics import complaint, nearest
from .assemble import config_problems
from .grants import known_names
from .registry import PROVIDER, Registry

__all__ = ("check_personas",)


def check_personas(registry: Registry, module: ModuleType) -> None:
    """Raise `BotError` with every problem of the personas in a module: options and functions that do not exist.

    They are constants, or stand in a list, tuple or dict that is one.
    """
    found = {id(persona): (name, persona) for name, persona in _constants(module)}
    problems = [each for name, persona in found.values() for each in _problems(registry, name, persona)]
    if problems:
        raise BotError("\n".join(complaint(registry.bot.function, each) for each in problems))


def _constants(module: ModuleType) -> Iterator[tuple[str, Persona]]:
    for name, value in vars(module).items():
        members: Iterable[tuple[str, Any]] = [(name, value)]
        if isinstance(value, dict):
            members = [(f"{name}[{key!r}]", each) for key, each in cast("dict[Any, Any]", value).items()]
        elif isinstance(value, list | tuple):
            members = [(f"{name}[{index}]", each) for index, each in enumerate(cast("list[Any]", value))]
        yield from ((label, each) for label, each in members if isinstance(each, Persona))


def _problems(registry: Registry, name: str, persona: Persona) -> Iterator[str]:
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
    yield from _function_problems(registry, name, persona)


def _function_problems(registry: Registry, name: str, persona: Persona) -> Iterator[str]:
    """Yield the problems that are certain. A function that is unknown here may be one that the client offers."""
    granted = {each.name.partition(":")[2] or each.name for each in registry.bot.functions}
    own = {each.name for each in registry.own_actions}
    for function in persona.functions or ():
        if function in granted:
            continue
        if function in own:
            yield f"the persona {name}: functions= names {function!r}, which @bot(functions=…) does not grant."
        elif near := nearest(function, granted):
            yield f"the persona {name}: functions= names {function!r}. Did you mean {near!r}?"
