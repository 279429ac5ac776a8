"""From a bot's name on a command line to a bot that is put together from what is installed."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from . import builtin
from ._hooks import Hooks
from ._plugins import Entry, Installed
from ._registry import Registry, build
from ._specs import BotSpec, Function, ServiceSpec, Spec, specs_in, specs_of
from ._stalls import SLOW_IMPORT_SECONDS, reported_when_slow
from .errors import BotError, PluginError, nearest, where
from .hookspecs import PROJECT
from .kinds import BUILTIN_KINDS

__all__ = ("bot_spec", "compose", "lack", "load_bot", "services_in")


def load_bot(target: str) -> Function:
    """The bot that `bot.py`, `bot.py:name` or `package.module:name` names.

    `BotError` when there is none, with what to write instead; whatever an author's module raises comes out as it is.
    """
    place, name = _split(target)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    bots = {spec.name: spec.function for spec in specs_in(module) if isinstance(spec, BotSpec)}
    if name:
        if name not in bots:
            near = nearest(name, bots)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(bots) or 'none'}."
            raise BotError(f"{place} has no bot {name!r}; {hint}")
        return bots[name]
    if len(bots) != 1:
        found = (
            f"several bots: {', '.join(bots)}. Write {place}:{next(iter(bots))}" if bots else "no function under @bot"
        )
        raise BotError(f"{place} has {found}.")
    return next(iter(bots.values()))


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    # A drive letter is no module name, and neither is a path.
    if not colon or "/" in name or "\\" in name or name.endswith(".py"):
        return target, ""
    return place, name


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BotError(f"There is no file {str(path)!r}.")
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours can be imported, as python's own `python bot.py`
    # Two bots in one process may both be called bot.py.
    name = next(name for n in count() if (name := f"{path.stem}_{n}" if n else path.stem) not in sys.modules)
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with reported_when_slow(f"the import of {path.name}", SLOW_IMPORT_SECONDS):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as an import that fails does
        raise
    return module


def _load_module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with reported_when_slow(f"the import of {name}", SLOW_IMPORT_SECONDS):
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise BotError(f"There is no module {name!r}. Write a path ending in .py, or package.module:bot.") from None
        raise


# ---- composing -----------------------------------------------------------------------------------------------------


def bot_spec(bot: Function) -> BotSpec:
    """The declaration of a bot's function; `BotError` if it has none."""
    found = next((spec for spec in specs_of(bot) if isinstance(spec, BotSpec)), None)
    if found is None:
        raise BotError(f"{where(bot)} is no bot. Decorate it with @bot(…).")
    return found


def compose(
    bot: Function, installed: Installed, extra: tuple[ModuleType, ...] = (), plugins: tuple[str, ...] = ()
) -> tuple[Registry, Hooks]:
    """A bot with everything that it names, all of it imported now. `AuthorError` where something is missing or broken.

    What the bot's own module declares, or an `extra` module, needs no installation. `plugins` are those that the
    operator adds to the bot's.
    """
    spec = bot_spec(bot)
    own = sys.modules[bot.__module__]
    modules: dict[str, ModuleType] = {each.__name__: each for each in (builtin, own, *extra)}
    local = [each for module in modules.values() for each in specs_in(module) if isinstance(each, ServiceSpec)]
    lacking: list[str] = []  # told together: whoever has to install three things does it at once
    providers = {name: _providers(spec, name, local, installed, modules, lacking) for name in spec.services}
    for name in dict.fromkeys((*spec.plugins, *plugins)):
        try:
            module = _load_actions(installed, name)
        except PluginError as error:
            lacking.append(str(error))
        else:
            modules[module.__name__] = module
    if lacking:
        raise PluginError("\n".join(lacking))
    specs: list[Spec] = [each for module in modules.values() for each in specs_in(module)]
    return build(spec, providers, list(dict.fromkeys(specs))), Hooks(modules)


def _load_actions(installed: Installed, name: str) -> ModuleType:
    return _load(installed, installed.module(name))


def _load(installed: Installed, entry: Entry) -> ModuleType:
    """A plugin's module that declares what its entry point says."""
    module = installed.load(entry)
    if (lacking := lack(entry, module)) is not None:
        raise PluginError(f"The plugin {entry.name!r} of {entry.distribution} {entry.version} {lacking}")
    return module


def lack(entry: Entry, module: ModuleType) -> str | None:
    """What is wrong with a module that declares something else than its entry point says; None if nothing is."""
    if entry.kind is None:
        return None if _declares(module) else f"declares nothing: {_must(entry, 'its functions are decorated')}."
    services = services_in(module)
    if entry.name in services:
        return None
    stands = f"@service({entry.kind!r}, {entry.provider!r}) stands"
    others = f"; it declares {', '.join(services)}" if services else ""
    return f"declares no such service: {_must(entry, stands)}{others}."


def _declares(module: ModuleType) -> bool:
    return bool(specs_in(module)) or any(hasattr(each, f"{PROJECT}_impl") for each in vars(module).values())


def _must(entry: Entry, stands: str) -> str:
    return f"its entry point must name the module in which {stands}, and that is not {entry.module!r}"


def services_in(module: ModuleType) -> dict[str, ServiceSpec]:
    """The services that a module declares, by the names that their entry points must have, as in "llm.acme"."""
    return {f"{each.kind}.{each.provider}": each for each in specs_in(module) if isinstance(each, ServiceSpec)}


def _providers(
    spec: BotSpec,
    service: str,
    local: list[ServiceSpec],
    installed: Installed,
    modules: dict[str, ModuleType],
    lacking: list[str],
) -> dict[str, ServiceSpec]:
    """The providers of a service; why one cannot be had is added to `lacking`."""
    kind, found = spec.kinds[service], dict[str, ServiceSpec]()
    for label in spec.services[service]:
        own = next((each for each in local if (each.kind, each.provider) == (kind, label)), None)
        try:
            found[label] = own or _load_provider(kind, label, installed, modules)
        except PluginError as error:
            why = _mistaken_kind(service, kind, label, installed) or error
            lacking.append(f"The bot {spec.name!r} names the provider {label!r} for {service!r}. {why}")
    return found


def _load_provider(kind: str, label: str, installed: Installed, modules: dict[str, ModuleType]) -> ServiceSpec:
    entry = installed.provider(kind, label)
    module = _load(installed, entry)
    modules[module.__name__] = module
    return services_in(module)[entry.name]


def _mistaken_kind(service: str, kind: str, label: str, installed: Installed) -> str | None:
    """What to say of a provider that is there, but of other kinds than the one that its service is annotated with."""
    kinds = sorted({each.kind for each in installed.entries if each.kind and each.provider == label})
    if not kinds or kind in kinds:
        return None
    given, *right = (found.protocol.__name__ if (found := BUILTIN_KINDS.get(each)) else each for each in (kind, *kinds))
    return f"{service!r} is annotated with {given}, and {label!r} is not one; annotate it with {' or '.join(right)}."
