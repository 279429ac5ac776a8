"""Load a bot by its name, and compose it from the plugins that are installed."""

from __future__ import annotations

import inspect
import logging
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from attrs import evolve

from .declare.specs import AnyFunction, BotSpec, Spec, specs_in, specs_of
from .errors import BotError, PluginError
from .protocol.describe import check_descriptions
from .registry.assemble import build, build_provider, check_personas
from .registry.hooks import Hooks
from .registry.installed_plugins import EntryPoint, Installed
from .registry.modules import (
    Modules,
    find_providers,
    load_file,
    load_plugin,
    local_services,
    services_in,
    slow_alternatives,
)
from .registry.registry import Provider, Registry
from .utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow
from .utils.error_texts import shorten, where
from .utils.names import nearest

__all__ = ("bot_spec", "compose", "load_bot", "load_provider", "own_provider")

_log = logging.getLogger("rtvi_plugins")

_NAMED_IN = "__rtvi_plugins_named_in__"


def load_bot(target: str) -> AnyFunction:
    """Return the bot that `bot.py`, `bot.py:name` or `package.module:name` names.

    Raise `BotError` if there is none. An exception of the author's module is not changed.
    """
    place, name = _split(target)
    module = load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    bots = _bots_in(module)
    if name:
        if name not in bots:
            near = nearest(name, bots)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(bots) or 'none'}."
            raise BotError(f"{place} has no bot {name!r}; {hint}")
        return _named_in(module, bots[name])
    if len(bots) != 1:
        found = (
            f"several bots: {', '.join(bots)}. Write {place}:{next(iter(bots))}" if bots else "no function under @bot"
        )
        raise BotError(f"{place} has {found}.")
    return _named_in(module, next(iter(bots.values())))


def _named_in(module: ModuleType, bot: AnyFunction) -> AnyFunction:
    """Note the module in which an imported bot was found: the declarations of that module count as well."""
    if bot.__module__ != module.__name__:
        setattr(bot, _NAMED_IN, module.__name__)
    return bot


def _bots_in(module: ModuleType) -> dict[str, AnyFunction]:
    """Return the bots that a module declares, by name. If it declares none, return those that it imports."""
    own = {spec.name: spec.function for spec in specs_in(module) if isinstance(spec, BotSpec)}
    return own or {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and any(isinstance(spec, BotSpec) for spec in specs_of(value))
    }


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    # A drive letter is not a module name, and neither is a path.
    if not colon or "/" in name or "\\" in name or name.endswith(".py"):
        return target, ""
    return place, name


def _load_module(name: str) -> ModuleType:
    if not name or name.startswith("."):
        raise BotError(f"{name!r} names no module. Write a path ending in .py, or package.module:bot.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with warn_when_slow(f"the import of {name}", SLOW_IMPORT_SECONDS):
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise BotError(f"There is no module {name!r}. Write a path ending in .py, or package.module:bot.") from None
        raise


# ---- composing -----------------------------------------------------------------------------------------------------


def bot_spec(bot: AnyFunction) -> BotSpec:
    """Return the declaration of a bot's function. Raise `BotError` if it has none."""
    found = next((spec for spec in specs_of(bot) if isinstance(spec, BotSpec)), None)
    given: object = bot
    if isinstance(given, ModuleType):
        example = f"{given.__name__.rpartition('.')[2]}.{next(iter(_bots_in(given)), 'mybot')}"
        raise BotError(f"{given.__name__!r} is a module. Pass the function of its bot, as in {example}.")
    if isinstance(given, str):
        raise BotError(f"{shorten(repr(given))} is a text. Pass the bot's function: from bot import mybot.")
    if found is None:
        raise BotError(f"{where(bot)} is not a bot. Decorate it with @bot(…).")
    return found


def compose(
    bot: AnyFunction,
    installed: Installed,
    extra: tuple[ModuleType, ...] = (),
    plugins: tuple[str, ...] = (),
    *,
    postpone: bool = False,
) -> tuple[Registry, Hooks]:
    """Import everything that a bot names, and return its registry and hooks. Raise `AuthorError` for missing plugins.

    Declarations in the bot's own module or in `extra` modules need no installation. A provider in `extra` replaces one
    of the same name. `plugins` are added by the operator. With `postpone`, providers that are slow to import and not
    the first of their service are not imported: they count as missing optional providers, and are in the bot's
    `postponed`.
    """
    spec = bot_spec(bot)
    modules = _own_modules(bot, installed)
    replacing = [member for each in extra for member in modules.add(each)]
    local = local_services([each for module in (*replacing, *modules.by_name.values()) for each in specs_in(module)])
    postponed = slow_alternatives(spec, local, installed) if postpone else frozenset[tuple[str, str]]()
    spec = evolve(spec, optional=spec.optional | postponed, postponed=postponed) if postponed else spec
    lacking: list[str] = []  # reported together, so that all of them can be installed at once
    providers = {name: find_providers(spec, name, local, modules, lacking, postponed) for name in spec.services}
    for name in dict.fromkeys((*spec.plugins, *plugins)):
        try:
            modules.add(load_plugin(installed, installed.module(name)))
        except PluginError as error:
            lacking.append(str(error))
    if lacking:
        raise PluginError("\n".join(lacking))
    for protocol in [each.protocol for labelled in providers.values() for each in labelled.values()]:
        modules.add_kind(protocol)
    specs: list[Spec] = [each for module in modules.by_name.values() for each in specs_in(module)]
    registry = build(spec, providers, list(dict.fromkeys(specs)), modules.families)
    check_descriptions(registry)
    if len(_bots_in(sys.modules[bot.__module__])) == 1:  # otherwise a persona may belong to another bot
        check_personas(registry, sys.modules[bot.__module__])
    return registry, Hooks(modules.by_name)


def _own_modules(bot: AnyFunction, installed: Installed) -> Modules:
    modules = Modules(installed)
    for name in dict.fromkeys((bot.__module__, getattr(bot, _NAMED_IN, bot.__module__))):
        modules.add(sys.modules[name])
    return modules


def own_provider(bot: AnyFunction, installed: Installed, name: str) -> Provider | None:
    """Return a provider such as "llm.acme" that the bot's own modules declare, with its options and actions."""
    specs = [each for module in _own_modules(bot, installed).by_name.values() for each in specs_in(module)]
    spec = local_services(specs).get(name)
    return None if spec is None else build_provider(spec.provider, spec, specs)


def load_provider(entry: EntryPoint, installed: Installed) -> Provider:
    """Return an installed provider without a bot, with the options and actions of its kind."""
    modules = Modules(installed)
    members = modules.add(load_plugin(installed, entry))
    spec = services_in(members)[entry.name]
    modules.add_kind(spec.protocol)
    return build_provider(spec.provider, spec, [each for found in modules.by_name.values() for each in specs_in(found)])
