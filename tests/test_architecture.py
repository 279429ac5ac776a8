"""The layers of the core: who may import whom, what of other people's code, and who may await."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rtvi_plugins"

# Layer -> module -> the other people's packages that it may import. A module imports only modules that stand above it
# here. A new module needs a line: choosing its place is choosing what it may know.
LAYERS: dict[str, dict[str, str]] = {
    "0 data": {
        "_names": "",
        "_install": "",
        "_json": "typing_extensions",
        "_needles": "",
        "_secret": "",
        "_interrupt": "",
        "_stalls": "",
        "_logtext": "",
        "security": "",
        "errors": "attrs",
        "limits": "attrs",
        "context": "attrs typing_extensions",
        "_roles": "",
        "events": "attrs",
        "kinds": "attrs typing_extensions",
        "thoughts": "attrs",
        "_timers": "attrs",
        "session": "attrs typing_extensions",
    },
    "1 reading": {
        "_defaults": "attrs",
        "_rules": "attrs",
        "_validators": "attrs",
        "_constraints": "attrs",
        "_json_schema": "",
        "_shapes": "attrs cattrs typing_extensions",
        "_specs": "attrs",
        "_signature": "attrs typing_extensions",
    },
    "2 parts": {
        "hookspecs": "pluggy",
        "_decorated": "",
        "_declare": "",
        "_codec": "orjson",
        "_message_id": "orjson",
        "_binding": "attrs",
        "_registry": "attrs",
    },
    "3 views": {
        "_families": "",
        "_hooks": "pluggy",
        "_plugins": "attrs",
        "_grants": "attrs",
        "_offer": "attrs",
        "_config": "attrs",
    },
    "the built-in plugin": {
        "builtin": "typing_extensions",
    },
    "4 protocol": {
        "loading": "attrs",
        "_rate": "",
        "_conversation": "attrs",
        "_start": "attrs",
    },
    "5 I/O": {
        "_cancelled": "anyio",
        "_signal": "anyio",
        "_calls": "anyio attrs",
        "_home": "",
        "_clock": "anyio",
        "_watchdog": "anyio",
        "_workers": "anyio attrs",
        "_conforming": "typing_extensions",
        "_services": "anyio",
        "voice.resampling": "numpy soxr",
        "voice.recording": "anyio attrs",
        "_audio": "anyio",
        "_answers": "",
        "_dialogue": "anyio attrs",
        "_applied": "attrs",
        "_settings": "anyio attrs",
        "_actions": "anyio attrs",
        "_runner": "anyio attrs",
        "hosting": "anyio attrs",
    },
    "voice": {
        "voice._closing": "anyio attrs",
        "voice._abbreviations": "",
        "voice._sentences": "attrs",
        "voice._timeline": "attrs",
        "voice._speech": "attrs",
        "voice._taking": "attrs",
        "voice._growing": "anyio attrs",
        "voice._spoken": "attrs",
        "voice._markup": "",
        "voice._hearing": "anyio attrs",
        "voice._speaking": "anyio attrs",
        "voice._late": "",
        "voice._tool_calls": "attrs",
        "voice._answering": "anyio attrs",
        "voice._converse": "anyio attrs",
        "voice": "",
    },
    "6 surface": {
        "_functions": "anyio attrs",
        "client": "anyio attrs",
        "testing": "anyio",
        "cli": "",
        "cli._plugins": "attrs",
        "cli._describe": "",
        "cli._lines": "anyio",
        "cli._screen": "attrs",
        "cli._console": "anyio attrs",
        "__init__": "typing_extensions",
        "__main__": "",
    },
}
AWAITING = ("the built-in plugin", "5 I/O", "voice", "6 surface")
# A conversation loop is what a plugin could bring: it sees what a plugin sees.
VOICE_SEES = ("0 data", "1 reading", "2 parts", "voice")
SYNCHRONOUS = {module for name, layer in LAYERS.items() if name not in AWAITING for module in layer}
PLACES = [module for layer in LAYERS.values() for module in layer]
ALLOWED = {module: set(packages.split()) for layer in LAYERS.values() for module, packages in layer.items()}


def name_of(path: Path) -> str:
    """The dotted name of a module below the package; the package itself is `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.glob("**/*.py"))}
LISTED = [module for module in PLACES if module in FILES]


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; our own with the package's name in front."""
    here = [PACKAGE.name, *path.relative_to(PACKAGE).parts[:-1]] if PACKAGE in path.parents else []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            source = ".".join([*above, *(node.module.split(".") if node.module else [])])
            # `from . import errors` imports a module, `from . import Session` a name.
            yield from {f"{source}.{alias.name}" if is_module(source, alias.name) else source for alias in node.names}


def is_module(source: str, name: str) -> bool:
    """Whether a name that is imported from one of our packages is a module of it."""
    package, _, folder = source.partition(".")
    return package == PACKAGE.name and ".".join([*filter(None, [folder]), name]) in FILES


def own_imports(path: Path) -> list[str]:
    """The modules of the core that a file imports, without the package's name; the package itself is `__init__`."""
    ours = [each for each in imports_of(path) if each.partition(".")[0] == PACKAGE.name]
    return [each.partition(".")[2] or "__init__" for each in ours]


def awaits(tree: ast.Module) -> list[int]:
    """The lines on which a file is asynchronous, other than where a Protocol or an ABC says what others will do."""
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    promised = {
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(base).partition("[")[0] for base in node.bases} & {"Protocol", "ABC"}
        for method in node.body
    }
    return sorted(node.lineno for node in ast.walk(tree) if isinstance(node, kinds) and node not in promised)


def base_name(base: ast.expr) -> str:
    """A base class as it is written, without what is in its brackets."""
    return ast.unparse(base).partition("[")[0]


def test_the_table_names_every_module_and_no_other() -> None:
    """A new module is given a layer, and a removed one leaves the table."""
    assert sorted(FILES) == sorted(PLACES)


@pytest.mark.parametrize("module", LISTED)
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    """Imports point one way."""
    above = set(PLACES[: PLACES.index(module)])
    if module in LAYERS["voice"]:
        above &= {each for layer in VOICE_SEES for each in LAYERS[layer]}
    assert [each for each in own_imports(FILES[module]) if each not in above] == []


@pytest.mark.parametrize("module", LISTED)
def test_a_module_imports_only_the_packages_that_it_may(module: str) -> None:
    """Nothing in the path of a message knows pluggy, and nothing below the I/O layer knows anyio."""
    packages = {each.partition(".")[0] for each in imports_of(FILES[module])}
    assert packages - sys.stdlib_module_names - {PACKAGE.name} <= ALLOWED[module]


@pytest.mark.parametrize("module", [each for each in LISTED if each in SYNCHRONOUS])
def test_only_the_upper_layers_await(module: str) -> None:
    """The protocol is written without I/O."""
    assert awaits(ast.parse(FILES[module].read_text("utf-8"))) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/*/**/*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_uses_public_doors_only(path: Path) -> None:
    """What our own plugins need, a stranger's can have too."""
    private = [each for each in own_imports(path) if each.startswith("_") and each != "__init__"]
    assert private == []


def test_waiting_is_seen_except_where_it_is_promised() -> None:
    """The rule about waiting finds a coroutine function, and leaves the methods of a Protocol alone."""
    source = "class Promise(Protocol[T]):\n    async def wait(self): ...\n\nasync def wait():\n    await other()\n"
    assert awaits(ast.parse(source)) == [4, 5]
