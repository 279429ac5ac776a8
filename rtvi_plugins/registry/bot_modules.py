"""Load the file of a bot, and find the modules that belong to a bot or plugin.

These are its own, and those of its package or folder that it imports.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import module_from_spec, resolve_name, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ..errors import BotError
from ..utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow

__all__ = ("family", "free_name", "load_file", "top")


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
    family, because a bot must name them itself.
    """
    found = [root]
    seen = {root.__name__}  # a module names most others many times
    for module in found:
        for name in _imported(module):
            if name not in seen:
                seen.add(name)
                other = sys.modules.get(name)
                if other is not None and _is_own(root, other, foreign):
                    found.append(other)
    return found


def top(name: str) -> str:
    """Return the top-level package of a dotted name."""
    return name.partition(".")[0]


_FRAMEWORK = top(__name__)


def _imported(module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules that a module uses: modules, and the modules of its functions and classes."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif inspect.isroutine(value) or isinstance(value, type):
            yield str(value.__module__)
    yield from _in_statements(module)


def _in_statements(module: ModuleType) -> Iterator[str]:
    """Yield the names of modules in a module's import statements. A constant itself does not name its module."""
    for base, names in _statements(module):
        inner = [f"{base}.{name}" for name in names]
        yield from (name if name in sys.modules else base for name in inner or [base])


@cache
def _statements(module: ModuleType) -> Sequence[tuple[str, Sequence[str]]]:
    """Return the import statements outside of functions, each as the module and the imported names."""
    found: list[tuple[str, Sequence[str]]] = []
    loaded: list[Any] = []
    with suppress(Exception):  # a module may have any loader, and its file may be gone
        for each in dis.get_instructions(cast("Any", module.__loader__).get_code(module.__name__)):
            if each.opname == "IMPORT_NAME":
                level, names = loaded[-2:]
                found.append((resolve_name("." * level + each.argval, module.__package__ or ""), names or ()))
            elif each.opname.startswith("LOAD_"):
                loaded.append(each.argval)
    return found


def _is_own(root: ModuleType, other: ModuleType, foreign: Collection[str]) -> bool:
    if top(other.__name__) == top(root.__name__):
        return True
    if top(other.__name__) == _FRAMEWORK or top(other.__name__) in foreign:
        return False
    here, there = _file(root), _file(other)
    return here is not None and there is not None and here.parent in there.parents


def _file(module: ModuleType) -> Path | None:
    """Return the file of a module; None if it is installed into an environment, or has no file."""
    name = getattr(module, "__file__", None)
    path = Path(name).absolute() if isinstance(name, str) else None
    return None if path is None or {"site-packages", "dist-packages"} & set(path.parts) else path
