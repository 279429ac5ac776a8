"""The architecture: which folder imports which, which packages it uses, and where code may wait."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rtvi_plugins"

# Layer -> what is in it (folders, and modules of the top level) and the other people's packages that it may import.
# A module imports from its own layer, without a cycle, and from those above it.
LAYERS: dict[str, tuple[str, str]] = {
    "utils": ("utils", "anyio typing_extensions"),
    "words": (
        "errors limits context events kinds thoughts clock session security hookspecs bridges",
        "attrs pluggy typing_extensions",
    ),
    "helpers": (
        "helper_process helper_worker resuming sqlite_store encrypted_store stores",
        "anyio attrs cryptography",
    ),
    "declare": ("declare", "attrs cattrs typing_extensions"),
    "registry": ("registry", "attrs pluggy typing_extensions"),
    "protocol": ("protocol", "attrs orjson"),
    "loading": ("loading", "attrs"),
    "voice": ("voice", "anyio attrs babel numpy soxr unicode_rbnf"),
    "runtime": ("runtime", "anyio attrs typing_extensions"),
    "doors": ("hosting client testing bot_file", "anyio attrs jsonschema pytest typing_extensions"),
    "cli": ("cli", "anyio attrs"),
    "package": ("__init__ __main__", "typing_extensions"),
}
#: The turn loop is what a plugin could bring, so it sees what a plugin sees.
VOICE_SEES = ("utils", "words", "voice")
#: What of `voice` a session needs, whatever loop its bot has.
SESSION_SEES_OF_VOICE = ("voice.recording", "voice.resampling")
#: The standard actions and options of `llm` and `tts` are declared as anyone's are, and wait as anyone's do.
STANDARD = "registry.standard_actions"
SYNCHRONOUS = ("words", "declare", "registry", "protocol", "loading")
#: Folders whose modules other distributions may not import.
INTERNAL = ("utils", "declare", "registry", "protocol", "runtime")
ORDER = [*LAYERS]
#: The most lines of a module that needs no reason for its length.
LONGEST = 300


def name_of(path: Path) -> str:
    """The dotted name of a module below the package; the package itself is `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    """The layer of a module: that of its folder, or its own at the top level."""
    first = module.partition(".")[0]
    return next((name for name, (members, _) in LAYERS.items() if first in members.split()), "")


FILES = {name_of(path): path for path in sorted(PACKAGE.glob("**/*.py"))}


def imports_of(path: Path) -> Iterator[str]:
    """All modules that a file imports, at its top or inside of functions; our own with the package's name."""
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
    """The lines of a file with async code, except in a Protocol or an ABC."""
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    promised = {
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(base).partition("[")[0] for base in node.bases} & {"Protocol", "ABC"}
        for method in node.body
    }
    return sorted(node.lineno for node in ast.walk(tree) if isinstance(node, kinds) and node not in promised)


def test_every_module_has_a_layer() -> None:
    """A new folder or top-level module needs a layer. Removed ones leave the table."""
    assert [module for module in FILES if not layer_of(module)] == []
    members = {member for members, _ in LAYERS.values() for member in members.split()}
    assert sorted(members - {module.partition(".")[0] for module in FILES}) == []


def test_imports_point_one_way() -> None:
    """A layer imports only from the layers above it in the table, and from itself."""
    wrong: list[str] = []
    for module, path in FILES.items():
        layer = layer_of(module)
        seen = VOICE_SEES if layer == "voice" else ORDER[: ORDER.index(layer) + 1]
        for each in own_imports(path):
            of_voice = layer == "runtime" and layer_of(each) == "voice"
            if layer_of(each) not in seen or (of_voice and each not in SESSION_SEES_OF_VOICE):
                wrong.append(f"{module} imports {each}")
    assert wrong == []


def test_imports_make_no_cycle() -> None:
    """Within a layer too, a module can be understood after the modules that it imports."""
    list(TopologicalSorter({name: set(own_imports(path)) - {name} for name, path in FILES.items()}).static_order())


def test_a_layer_imports_only_the_packages_that_it_may() -> None:
    """The modules of a message's path do not use pluggy, and those below a live session do not use anyio."""
    wrong: list[str] = []
    for module, path in FILES.items():
        packages = {each.partition(".")[0] for each in imports_of(path)} - sys.stdlib_module_names - {PACKAGE.name}
        wrong += [f"{module} imports {each}" for each in packages - {*LAYERS[layer_of(module)][1].split()}]
    assert wrong == []


def test_the_protocol_is_written_without_io() -> None:
    """Declarations, registries and messages are read without waiting."""
    waiting = [each for each in FILES if layer_of(each) in SYNCHRONOUS and each != STANDARD]
    assert [each for each in waiting if awaits(ast.parse(FILES[each].read_text("utf-8")))] == []


def test_every_folder_says_what_it_is_for() -> None:
    """Its docstring has what goes in, what comes out, and what may be imported."""
    short = [
        each for each in LAYERS if (PACKAGE / each).is_dir() and len(docstring(PACKAGE / each / "__init__.py")) < 3
    ]
    assert short == []


def docstring(path: Path) -> list[str]:
    """The lines of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").splitlines()


def test_a_long_module_says_why() -> None:
    """A module is short, or its docstring says why its lines belong together."""
    says = re.compile(rf"^The module has more than {LONGEST} lines(:| because) ", re.MULTILINE)
    lines = {module: path.read_text("utf-8").count("\n") for module, path in FILES.items()}
    texts = {module: "\n".join(docstring(path)) for module, path in FILES.items()}
    silent = [each for each in FILES if lines[each] > LONGEST and not says.search(texts[each])]
    assert silent == [], f'write "The module has more than {LONGEST} lines because …" into the docstring'
    assert [each for each in FILES if lines[each] <= LONGEST and says.search(texts[each])] == [], "it is short again"


def test_plugins_import_only_public_modules() -> None:
    """Plugins of other authors can use everything that our plugins use."""
    private = [
        f"{path.relative_to(ROOT)} imports {each}"
        for path in ROOT.glob("plugins/*/**/*.py")
        for each in own_imports(path)
        if each.partition(".")[0] in INTERNAL or (each.startswith("_") and each != "__init__")
    ]
    assert private == []


def test_waiting_is_seen_except_where_it_is_promised() -> None:
    """The check finds a coroutine function, and ignores the methods of a Protocol."""
    source = "class Promise(Protocol[T]):\n    async def wait(self): ...\n\nasync def wait():\n    await other()\n"
    assert awaits(ast.parse(source)) == [4, 5]
