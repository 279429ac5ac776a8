"""The public names of the package: all of them are in `__all__`, and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
from itertools import takewhile
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[2] / "rtvi_plugins"
#: Folders that are internal to the package.
INTERNAL = ("utils", "declare", "registry", "protocol", "runtime")
#: Everything at the top is public; of what stands in the public folders, these.
PUBLIC = ("rtvi_plugins", "rtvi_plugins.voice.recording", "rtvi_plugins.voice.resampling")
#: What only type checkers look at has short names that nobody imports.
FOR_CHECKERS = ("TypeVar", "ParamSpec", "TypeVarTuple")


def public_modules() -> list[str]:
    """The dotted names that other distributions may import."""
    paths = [path.relative_to(PACKAGE.parent).with_suffix("") for path in sorted(PACKAGE.glob("**/*.py"))]
    parts = [path.parts[:-1] if path.name == "__init__" else path.parts for path in paths]
    names = [".".join(each) for each in parts if not each[-1].startswith("_")]
    return [
        each for each in names if (each.count(".") == 1 and each.rpartition(".")[2] not in INTERNAL) or each in PUBLIC
    ]


def definitions(module: ModuleType) -> dict[str, ast.stmt]:
    """The public names that a module defines at its top, each with its statements."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found[node.name] = node
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) if not _is_for_checkers(node.value):
                found[name] = node
            case _:
                pass
    return {name: node for name, node in found.items() if not name.startswith("_")}


def _is_for_checkers(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in FOR_CHECKERS


def is_documented(module: ModuleType, node: ast.stmt) -> bool:
    """Whether a definition has a docstring, or a `#:` comment above it or its block."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return bool(ast.get_docstring(node))
    above = reversed(inspect.getsource(module).splitlines()[: node.lineno - 1])
    return any(line.startswith("#:") for line in takewhile(str.strip, above))


MODULES = {name: importlib.import_module(name) for name in public_modules()}


def test_all_is_a_tuple_without_repetition() -> None:
    """It cannot be changed at run time, and has each name once."""
    exported = {name: module.__all__ for name, module in MODULES.items()}
    assert [name for name, found in exported.items() if not isinstance(found, tuple)] == []
    assert [name for name, found in exported.items() if len(set(found)) != len(found)] == []


def test_all_names_what_exists() -> None:
    """`from module import *` works."""
    missing = [
        f"{name}.{each}" for name, module in MODULES.items() for each in module.__all__ if not hasattr(module, each)
    ]
    assert missing == []


def test_all_names_every_public_definition() -> None:
    """A name without an underscore is public."""
    assert {
        name: sorted(left)
        for name, module in MODULES.items()
        if (left := definitions(module).keys() - set(module.__all__))
    } == {}


def test_a_package_exports_everything_public_that_it_imports() -> None:
    """`rtvi_plugins` re-exports all public names that it imports from its modules."""
    package = importlib.import_module(PACKAGE.name)
    imported = {
        alias.asname or alias.name
        for node in ast.parse(inspect.getsource(package)).body
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "typing")
        for alias in node.names
    }
    assert sorted(name for name in imported - set(package.__all__) if not name.startswith("_")) == []


def test_each_module_states_its_purpose() -> None:
    """The first line of a docstring is one sentence."""
    assert [name for name, each in MODULES.items() if not (each.__doc__ or "").partition("\n")[0].endswith(".")] == []


def test_everything_public_is_documented() -> None:
    """Each class and function has a docstring, each constant and alias a `#:` comment."""
    missing: list[str] = []
    for path, module in MODULES.items():
        own = definitions(module)
        missing += [f"{path}.{name}" for name, node in own.items() if not is_documented(module, node)]
        borrowed = [getattr(module, name) for name in set(module.__all__) - own.keys()]
        missing += [f"{path}.{each.__name__}" for each in borrowed if inspect.isclass(each) and not each.__doc__]
    assert missing == []
