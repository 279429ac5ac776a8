"""Load a bot by its name, and compose it from the plugins that are installed."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from attrs import define, field

from .declare.specs import AnyFunction, BotSpec, ProviderSpec, Spec, specs_in, specs_of
from .errors import BotError, DeclarationError, PluginError
from .hookspecs import PROJECT
from .kinds import BUILTIN_KINDS, kind_of
from .protocol.describe import check_descriptions
from .registry import standard
from .registry.assemble import build, build_provider
from .registry.bot_modules import family, top
from .registry.hooks import Hooks
from .registry.installed import EntryPoint, Installed
from .registry.registry import Provider, Registry
from .utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow
from .utils.diagnostics import nearest, where

__all__ = ("bot_spec", "compose", "family_of", "lack", "load_bot", "load_provider", "services_in")

_log = logging.getLogger("rtvi_plugins")

_NAMED_IN = "__rtvi_plugins_named_in__"


def load_bot(target: str) -> AnyFunction:
    """Return the bot that `bot.py`, `bot.py:name` or `package.module:name` names.

    Raise `BotError` if there is none. An exception of the author's module is not changed.
    """
    place, name = _split(target)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
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
        with warn_when_slow(f"the import of {path.name}", SLOW_IMPORT_SECONDS):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as an import that fails does
        raise
    return module


def _load_module(name: str) -> ModuleType:
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
    if found is None:
        raise BotError(f"{where(bot)} is no bot. Decorate it with @bot(…).")
    return found


def compose(
    bot: AnyFunction, installed: Installed, extra: tuple[ModuleType, ...] = (), plugins: tuple[str, ...] = ()
) -> tuple[Registry, Hooks]:
    """Import everything that a bot names, and return its registry and hooks. Raise `AuthorError` for missing plugins.

    Declarations in the bot's own module or in `extra` modules need no installation. The operator adds `plugins` to the
    bot's.
    """
    spec = bot_spec(bot)
    modules = _Modules(installed)
    modules.by_name[standard.__name__] = standard
    own = dict.fromkeys((bot.__module__, getattr(bot, _NAMED_IN, bot.__module__)))
    for each in (*(sys.modules[name] for name in own), *extra):
        modules.add(each)
    local = _services([each for module in modules.by_name.values() for each in specs_in(module)])
    lacking: list[str] = []  # reported together, so that all of them can be installed at once
    providers = {name: _providers(spec, name, local, modules, lacking) for name in spec.services}
    for name in dict.fromkeys((*spec.plugins, *plugins)):
        try:
            modules.add(_load_actions(installed, name))
        except PluginError as error:
            lacking.append(str(error))
    if lacking:
        raise PluginError("\n".join(lacking))
    for protocol in [each.protocol for labelled in providers.values() for each in labelled.values()]:
        modules.add_kind(protocol)
    specs: list[Spec] = [each for module in modules.by_name.values() for each in specs_in(module)]
    registry = build(spec, providers, list(dict.fromkeys(specs)), modules.families)
    check_descriptions(registry)
    return registry, Hooks(modules.by_name)


def load_provider(entry: EntryPoint, installed: Installed) -> Provider:
    """Return an installed provider without a bot, with the options and actions of its kind."""
    module = _load(installed, entry)
    spec = services_in(family_of(installed, module))[entry.name]
    modules = _Modules(installed)
    modules.by_name[standard.__name__] = standard
    modules.add(module)
    modules.add_kind(spec.protocol)
    return build_provider(spec.provider, spec, [each for found in modules.by_name.values() for each in specs_in(found)])


@define
class _Modules:
    """The modules with declarations for one bot."""

    installed: Installed
    by_name: dict[str, ModuleType] = field(factory=dict[str, ModuleType])
    #: The names of modules that belong together: a module, and its own that it imports.
    families: list[frozenset[str]] = field(factory=list[frozenset[str]])

    def add(self, module: ModuleType) -> None:
        """Add a module with its own that it imports, but nothing of plugins that the bot does not name."""
        members = {each.__name__: each for each in family_of(self.installed, module)}
        self.by_name |= members
        self.families.append(frozenset(members))

    def add_kind(self, protocol: type) -> None:
        """Add the module that defines a kind: what it declares on the kind counts for every provider of it."""
        kind = kind_of(protocol)
        if kind is not None and kind not in BUILTIN_KINDS.values():
            self.add(sys.modules[protocol.__module__])


def family_of(installed: Installed, module: ModuleType) -> list[ModuleType]:
    """Return the modules from which a module's declarations are read: itself and its own that it imports."""
    return family(module, {top(each.module) for each in installed.entries})


def _load_actions(installed: Installed, name: str) -> ModuleType:
    return _load(installed, installed.module(name))


def _load(installed: Installed, entry: EntryPoint) -> ModuleType:
    """Load a plugin's module. Raise `PluginError` if it does not declare what its entry point says."""
    module = installed.load(entry)
    if (lacking := lack(entry, family_of(installed, module))) is not None:
        raise PluginError(f"The plugin {entry.name!r} of {entry.distribution} {entry.version} {lacking}")
    return module


def lack(entry: EntryPoint, modules: Sequence[ModuleType]) -> str | None:
    """Return why modules do not declare what their entry point says; None if they do."""
    if entry.kind is None:
        return None if _declares(modules) else f"declares nothing: {_must(entry, 'its functions are decorated')}."
    services = services_in(modules)
    if entry.name in services:
        return None
    stands = f"@service({entry.kind!r}, {entry.provider!r}) stands"
    others = f"; it declares {', '.join(services)}" if services else ""
    return f"declares no such service: {_must(entry, stands)}{others}."


def _declares(modules: Sequence[ModuleType]) -> bool:
    values = (value for module in modules for value in vars(module).values())
    return any(specs_in(module) for module in modules) or any(hasattr(each, f"{PROJECT}_impl") for each in values)


def _must(entry: EntryPoint, stands: str) -> str:
    return f"its entry point must name the module in which {stands}, and that is not {entry.module!r}"


def services_in(modules: Sequence[ModuleType]) -> dict[str, ProviderSpec]:
    """Return the providers that modules declare, by the names that their entry points must have, as in "llm.acme"."""
    return _services([each for module in modules for each in specs_in(module)])


def _services(specs: Sequence[Spec]) -> dict[str, ProviderSpec]:
    """Return providers by kind and name. The nearer module wins. Raise `DeclarationError` for two in one module."""
    found: dict[str, ProviderSpec] = {}
    for spec in dict.fromkeys(each for each in specs if isinstance(each, ProviderSpec)):
        name = f"{spec.kind}.{spec.provider}"
        if found.setdefault(name, spec) is spec:
            continue
        if found[name].function.__module__ == spec.function.__module__:
            places = f"{where(found[name].function)} and {where(spec.function)}"
            raise DeclarationError(None, f"the service {name!r} is declared twice: {places}. Rename one of them.")
    return found


def _providers(
    spec: BotSpec, service: str, local: Mapping[str, ProviderSpec], modules: _Modules, lacking: list[str]
) -> dict[str, ProviderSpec]:
    """Return the providers of a service. For each that is missing, add the reason to `lacking`.

    Optional ones are left out if another is there.
    """
    kind, found = spec.kinds[service], dict[str, ProviderSpec]()
    left_out: list[str] = []
    for label in spec.services[service]:
        try:
            found[label] = local.get(f"{kind}.{label}") or _load_provider(kind, label, modules)
        except PluginError as error:
            why = _mistaken_kind(service, kind, label, local, modules.installed) or error
            reasons = left_out if (service, label) in spec.optional else lacking
            reasons.append(f"The bot {spec.name!r} names the provider {label!r} for {service!r}. {why}")
        else:
            _refuse_other_kind(spec, service, found[label])
    if not found:
        lacking.extend(left_out)
    for reason in left_out if found else ():
        _log.info("%s It is left out.", reason)
    return found


def _load_provider(kind: str, label: str, modules: _Modules) -> ProviderSpec:
    installed = modules.installed
    entry = installed.provider(kind, label)
    module = _load(installed, entry)
    modules.add(module)
    return services_in(family_of(installed, module))[entry.name]


def _refuse_other_kind(spec: BotSpec, service: str, provider: ProviderSpec) -> None:
    """Reject a provider of another plugin's kind with the same name."""
    wanted = spec.protocols[service]
    if provider.protocol is not wanted:
        names = [f"{each.__module__}.{each.__qualname__}" for each in (wanted, provider.protocol)]
        raise BotError(
            f"{where(spec.function)} annotates {service!r} with {names[0]}, but {where(provider.function)} implements "
            f"{names[1]}. Two plugins define the kind {provider.kind!r}: rename one of them."
        )


def _mistaken_kind(
    service: str, kind: str, label: str, local: Mapping[str, ProviderSpec], installed: Installed
) -> str | None:
    """Return the error text for a provider that exists, but only for other kinds than the annotated one."""
    here = {each.kind for each in local.values() if each.provider == label}
    kinds = sorted(here | {each.kind for each in installed.entries if each.kind and each.provider == label})
    if not kinds or kind in kinds:
        return None
    given, *right = (found.protocol.__name__ if (found := BUILTIN_KINDS.get(each)) else each for each in (kind, *kinds))
    return f"{service!r} is annotated with {given}, and {label!r} is not one; annotate it with {' or '.join(right)}."
