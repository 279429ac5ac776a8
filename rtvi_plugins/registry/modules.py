"""The modules of a bot and of its plugins: load them, see what they declare, and find the providers of each service.

Modules that belong to a bot or plugin are its own, and those of its package or folder that it imports. A provider that
is missing is reported with the command that installs it. All that are missing are reported at once.

The module has more than 300 lines because a bot's file and a plugin are loaded by the same rules.
"""

from __future__ import annotations

import dis
import inspect
import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import module_from_spec, resolve_name, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from attrs import define, field

from ..declare.specs import BotSpec, ProviderSpec, Spec, specs_in
from ..errors import BotError, DeclarationError, PluginError
from ..hookspecs import PROJECT
from ..kinds import BUILTIN_KINDS, kind_of
from ..utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow
from ..utils.error_texts import where
from ..utils.names import nearest
from . import standard_actions
from .installed_plugins import EntryPoint, Installed

__all__ = (
    "Modules",
    "family",
    "family_of",
    "find_providers",
    "free_name",
    "lack",
    "load_file",
    "load_plugin",
    "local_services",
    "services_in",
    "slow_alternatives",
    "top",
)

# ---- files and families of modules ---------------------------------------------------------------------------------


def load_file(path: Path) -> ModuleType:
    """Import a Python file as a module. Raise `BotError` if there is none. Its own exceptions are not changed."""
    if not path.is_file():
        raise BotError(f"There is no file {str(path)!r}.")
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours can be imported, as python's own `python bot.py`
    name = free_name(path.stem)
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


def free_name(stem: str) -> str:
    """Return a name for a new module that no module has: two bots in one process may both be called bot.py."""
    return next(name for n in count() if (name := f"{stem}_{n}" if n else stem) not in sys.modules)


def family(root: ModuleType, foreign: Collection[str] = ()) -> list[ModuleType]:
    """Return a module and the modules of its family that it imports, each once.

    The family is the modules of the same package, and those in the folder of its file that are not installed. A name
    imported from a module counts as its module. `foreign` lists the packages of plugins. They do not belong to a
    family, because a bot must name them itself. A module of the framework has no others: its bots are of the test kit.
    """
    members = [root]
    if top(root.__name__) == _FRAMEWORK:
        return members
    seen = {root.__name__}  # a module names most others many times
    for module in members:
        for name in _imported_modules(module):
            if name not in seen:
                seen.add(name)
                other = sys.modules.get(name)
                if other is not None and _is_of_family(root, other, foreign):
                    members.append(other)
    return members


def top(name: str) -> str:
    """Return the top-level package of a dotted name."""
    return name.partition(".")[0]


_FRAMEWORK = top(__name__)


def _imported_modules(module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules that a module uses: modules, and the modules of its functions and classes."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif inspect.isroutine(value) or isinstance(value, type):
            yield str(value.__module__)
    yield from _modules_in_import_statements(module)


def _modules_in_import_statements(module: ModuleType) -> Iterator[str]:
    """Yield the names of modules in a module's import statements. A constant itself does not name its module."""
    for base, names in _import_statements(module):
        inner = [f"{base}.{name}" for name in names]
        yield from (name if name in sys.modules else base for name in inner or [base])


@cache
def _import_statements(module: ModuleType) -> Sequence[tuple[str, Sequence[str]]]:
    """Return the import statements outside of functions, each as the module and the imported names."""
    statements: list[tuple[str, Sequence[str]]] = []
    loaded_constants: list[Any] = []
    with suppress(Exception):  # a module may have any loader, and its file may be gone
        for instruction in dis.get_instructions(cast("Any", module.__loader__).get_code(module.__name__)):
            if instruction.opname == "IMPORT_NAME":
                level, names = loaded_constants[-2:]
                statements.append(
                    (resolve_name("." * level + instruction.argval, module.__package__ or ""), names or ())
                )
            elif instruction.opname.startswith("LOAD_"):
                loaded_constants.append(instruction.argval)
    return statements


def _is_of_family(root: ModuleType, other: ModuleType, foreign: Collection[str]) -> bool:
    if top(other.__name__) == top(root.__name__):
        return True
    if top(other.__name__) == _FRAMEWORK or top(other.__name__) in foreign:
        return False
    here, there = _module_file(root), _module_file(other)
    return here is not None and there is not None and here.parent in there.parents


def _module_file(module: ModuleType) -> Path | None:
    """Return the file of a module; None if it is installed into an environment, or has no file."""
    name = getattr(module, "__file__", None)
    path = Path(name).absolute() if isinstance(name, str) else None
    return None if path is None or {"site-packages", "dist-packages"} & set(path.parts) else path


# ---- plugins -------------------------------------------------------------------------------------------------------

log = logging.getLogger("rtvi_plugins")


@define
class Modules:
    """The modules with declarations for one bot. The standard actions and options are there for every bot."""

    installed: Installed
    by_name: dict[str, ModuleType] = field(factory=lambda: {standard_actions.__name__: standard_actions})
    #: The names of modules that belong together: a module, and its own that it imports.
    families: list[frozenset[str]] = field(factory=list[frozenset[str]])

    def add(self, module: ModuleType) -> list[ModuleType]:
        """Add a module with its own that it imports, but nothing of plugins that the bot does not name. Return them."""
        members = family_of(self.installed, module)
        self.by_name |= {member.__name__: member for member in members}
        self.families.append(frozenset(member.__name__ for member in members))
        return members

    def add_kind(self, protocol: type) -> None:
        """Add the module that defines a kind: what it declares on the kind counts for every provider of it."""
        kind = kind_of(protocol)
        if kind is not None and kind not in BUILTIN_KINDS.values():
            self.add(sys.modules[protocol.__module__])


def family_of(installed: Installed, module: ModuleType) -> list[ModuleType]:
    """Return the modules from which a module's declarations are read: itself and its own that it imports."""
    return family(module, {top(entry.module) for entry in installed.entries})


def load_plugin(installed: Installed, entry: EntryPoint) -> ModuleType:
    """Load a plugin's module. Raise `PluginError` if it does not declare what its entry point says."""
    module = installed.load(entry)
    if (lacking := lack(entry, family_of(installed, module))) is not None:
        raise PluginError(f"The plugin {entry.name!r} of {entry.distribution} {entry.version} {lacking}")
    return module


def lack(entry: EntryPoint, modules: Sequence[ModuleType]) -> str | None:
    """Return why modules do not declare what their entry point says; None if they do."""
    if entry.kind is None:
        return (
            None
            if _declares(modules)
            else f"declares nothing: {_entry_point_must_name(entry, 'its functions are decorated')}."
        )
    services = services_in(modules)
    if entry.name in services:
        return None
    stands = f"@service({entry.kind!r}, {entry.provider!r}) stands"
    others = f"; it declares {', '.join(services)}" if services else ""
    return f"declares no such service: {_entry_point_must_name(entry, stands)}{others}."


def _declares(modules: Sequence[ModuleType]) -> bool:
    values = (value for module in modules for value in vars(module).values())
    return any(specs_in(module) for module in modules) or any(hasattr(each, f"{PROJECT}_impl") for each in values)


def _entry_point_must_name(entry: EntryPoint, stands: str) -> str:
    return f"its entry point must name the module in which {stands}, and that is not {entry.module!r}"


def services_in(modules: Sequence[ModuleType]) -> dict[str, ProviderSpec]:
    """Return the providers that modules declare, by the names that their entry points must have, as in "llm.acme"."""
    return local_services([each for module in modules for each in specs_in(module)])


def local_services(specs: Sequence[Spec]) -> dict[str, ProviderSpec]:
    """Return providers by kind and name. The first of a name counts. Raise `DeclarationError` for two in one module."""
    providers: dict[str, ProviderSpec] = {}
    for spec in dict.fromkeys(each for each in specs if isinstance(each, ProviderSpec)):
        name = f"{spec.kind}.{spec.provider}"
        if providers.setdefault(name, spec) is spec:
            continue
        if providers[name].function.__module__ == spec.function.__module__:
            places = f"{where(providers[name].function)} and {where(spec.function)}"
            raise DeclarationError(None, f"the service {name!r} is declared twice: {places}. Rename one of them.")
    return providers


def slow_alternatives(
    spec: BotSpec, local: Mapping[str, ProviderSpec], installed: Installed
) -> frozenset[tuple[str, str]]:
    """Return the providers of a bot that can be imported later, each with its service.

    Their import is slow, and another provider of the service comes before them.
    """
    slow: set[tuple[str, str]] = set()
    for service, labels in spec.services.items():
        for label in labels[1:]:
            if f"{spec.kinds[service]}.{label}" not in local and _is_slow_import(installed, spec.kinds[service], label):
                slow.add((service, label))
    return frozenset(slow)


def _is_slow_import(installed: Installed, kind: str, label: str) -> bool:
    try:
        entry = installed.provider(kind, label)
    except PluginError:
        return False
    return entry.bridged is not None and entry.bridged.slow and entry.unfit is None


def find_providers(
    spec: BotSpec,
    service: str,
    local: Mapping[str, ProviderSpec],
    modules: Modules,
    lacking: list[str],
    without: Collection[tuple[str, str]] = (),
) -> dict[str, ProviderSpec]:
    """Return the providers of a service. For each that is missing, add the reason to `lacking`.

    Optional ones are left out if another is there. Those in `without` are not imported.
    """
    kind, providers = spec.kinds[service], dict[str, ProviderSpec]()
    left_out: list[str] = []
    for label in (each for each in spec.services[service] if (service, each) not in without):
        try:
            providers[label] = local.get(f"{kind}.{label}") or _load_provider(kind, label, modules)
        except PluginError as error:
            why = _mistaken_kind(service, kind, label, local, modules.installed)
            why = why or f"{error}{_near_local(kind, label, local, modules.installed)}"
            reasons = left_out if (service, label) in spec.optional else lacking
            reasons.append(f"The bot {spec.name!r} names the provider {label!r} for {service!r}. {why}")
        else:
            _refuse_other_kind(spec, service, providers[label])
    if not providers:
        lacking.extend(left_out)
    for reason in left_out if providers else ():
        log.info("%s It is left out.", reason)
    return providers


def _load_provider(kind: str, label: str, modules: Modules) -> ProviderSpec:
    entry = modules.installed.provider(kind, label)
    members = modules.add(load_plugin(modules.installed, entry))
    return services_in(members)[entry.name]


def _refuse_other_kind(spec: BotSpec, service: str, provider: ProviderSpec) -> None:
    """Reject a provider of another plugin's kind with the same name."""
    wanted = spec.protocols[service]
    if provider.protocol is not wanted:
        names = [f"{each.__module__}.{each.__qualname__}" for each in (wanted, provider.protocol)]
        raise BotError(
            f"{where(spec.function)} annotates {service!r} with {names[0]}, but {where(provider.function)} implements "
            f"{names[1]}. Two plugins define the kind {provider.kind!r}: rename one of them."
        )


def _near_local(kind: str, label: str, local: Mapping[str, ProviderSpec], installed: Installed) -> str:
    """Return a question about a provider that is not installed, if the bot's own modules declare a similar name."""
    declared = {each.provider.lower(): each for each in local.values() if each.kind == kind}
    near = nearest(label.lower(), declared)
    if near is None or any(
        entry.kind == kind and label in (entry.provider, entry.qualified) for entry in installed.entries
    ):
        return ""
    return f" Or did you mean {declared[near].provider!r}, of {where(declared[near].function)}?"


def _mistaken_kind(
    service: str, kind: str, label: str, local: Mapping[str, ProviderSpec], installed: Installed
) -> str | None:
    """Return the error text for a provider that exists, but only for other kinds than the annotated one."""
    here = {each.kind for each in local.values() if each.provider == label}
    kinds = sorted(here | {entry.kind for entry in installed.entries if entry.kind and entry.provider == label})
    if not kinds or kind in map(str.lower, kinds):
        return None
    given, *right = (
        builtin.protocol.__name__ if (builtin := BUILTIN_KINDS.get(each)) else each for each in (kind, *kinds)
    )
    other = " or ".join(right)
    return (
        f"{service!r} is annotated with {given}, and {label!r} is not one. Name another provider, or annotate it with "
        f"{other}."
    )
