"""Everything that the documentation imports and installs exists."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rtvi_plugins.utils.install_hint import NEEDED, PLUGINS, install_hint

from ..tools.every import check_each
from ..tools.pages import COMMANDS, DOCS, PAGES, ROOT, blocks

READMES = sorted(ROOT.glob("plugins/*/README.md"))
SOURCES = [ROOT / "start.py", *sorted(ROOT.glob("rtvi_plugins/**/*.py")), *sorted(ROOT.glob("plugins/*/src/**/*.py"))]
TEXTS = [*PAGES, *READMES, *sorted(DOCS.glob("examples/**/*.md")), *SOURCES]
#: Where the words of authors, operators and servers are defined.
PUBLIC = [
    importlib.import_module(f"rtvi_plugins{name}")
    for name in ("", ".kinds", ".context", ".events", ".errors", ".session", ".hosting", ".client", ".voice")
]
#: Modules of the examples, and one that is not installed here because it needs Ray.
OF_EXAMPLES = re.compile("rtvi_plugins_(acme|avatar|ray|tones)")
TABLE = re.compile(r"^\| import from \| names \|\n\|---\|---\|\n((?:\|.*\|\n)+)", re.MULTILINE)


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in a module."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_what_does_not_exist_does_not_resolve() -> None:
    """This shows that the other tests can fail."""
    assert resolves("rtvi_plugins.voice.TurnTaking")
    assert not resolves("rtvi_plugins.voice.VADParams")
    assert not resolves("rtvi_plugins_nothing")


# ---- imports -------------------------------------------------------------------------------------------------------


def imports(page: Path) -> Iterator[str]:
    """Every name of ours that the Python code of a page imports."""
    for block in blocks(page):
        for module, names in re.findall(
            r"^ *from (rtvi_plugins[\w.]*) import \(?([^()]*?)\)?$", block.text, re.MULTILINE
        ):
            yield from (f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(",") if name.strip())


def named_by(page: Path) -> set[str]:
    """Every dotted name of ours in a page: in its code, and in backticks."""
    named = re.findall(r"`(rtvi_plugins(?:_(?!acme)\w+)?(?:\.\w+)+)`", page.read_text("utf-8"))
    known = {
        "rtvi_plugins.commands",
        "rtvi_plugins.api",
        "rtvi_plugins.stores",
        "rtvi_plugins.engines",
    }  # groups of entry points
    return {name for name in {*imports(page), *named} - known if not OF_EXAMPLES.search(name)}


def test_what_a_page_imports_is_there() -> None:
    """This includes dotted names in the text."""
    pages = [*PAGES, *READMES]
    missing = [f"{page.relative_to(ROOT)}: {name}" for page in pages for name in named_by(page) if not resolves(name)]
    assert missing == []


def rows(page: Path) -> dict[str, str]:
    """The module of each name in a page's table of imports."""
    tables = TABLE.findall(page.read_text("utf-8"))
    found = [re.findall(r"`(\w[\w.]*)`", line) for table in tables for line in table.splitlines()]
    return {name: module for module, *names in found for name in names}


WITH_TABLE = [page for page in PAGES if rows(page)]


def homes(name: str) -> list[ModuleType]:
    """The public modules that have a name."""
    return [module for module in PUBLIC if name in module.__all__]


def test_a_table_of_imports_is_true_and_whole() -> None:
    """Each name is in its module, and the table has every public class that the page names."""
    check_each(WITH_TABLE, check_table)


def check_table(page: Path) -> None:
    """Compare the table of a page with the modules and with the rest of the page."""
    table = rows(page)
    assert [name for name, module in table.items() if name not in importlib.import_module(module).__all__] == []
    named = set(re.findall(r"`(?:\w+: )?([A-Z]\w+)[`(]", page.read_text("utf-8")))
    assert [name for name in sorted(named - set(table)) if homes(name)] == []


def test_the_pages_that_name_much_have_such_a_table() -> None:
    """These are the pages with names of several modules."""
    assert {"voice.md", "declarations.md"} <= {page.name for page in WITH_TABLE}


# ---- installing ----------------------------------------------------------------------------------------------------


#: Braces stay as they are in plain sh. zsh takes a bracket after a name, even in quotes, for an index.
NOT_IN_EVERY_SHELL = re.compile(r"\{[\w-]+(?:,[\w-]+)+\}|\$\w+\[")


def shell_code(path: Path) -> Iterator[str]:
    """The commands of a text for a shell, and the words in backticks that install something."""
    yield from (block.text for block in blocks(path) if block.language in COMMANDS)
    yield from re.findall(r"`((?:pip install )?[^`\n]*\$\{?CHECKOUT[^`\n]*)`", path.read_text("utf-8"))


def test_commands_work_in_every_shell() -> None:
    """They work in dash, bash and zsh."""
    found = [
        (path, code) for path in (*PAGES, *READMES) for code in shell_code(path) if NOT_IN_EVERY_SHELL.search(code)
    ]
    assert [f"{path.relative_to(ROOT)}: {code}" for path, code in found] == []


def test_a_command_for_one_shell_would_be_found() -> None:
    """This shows that the test above can fail."""
    assert NOT_IN_EVERY_SHELL.search("pip install ./plugins/rtvi-plugins-{vendor,openai}")
    assert NOT_IN_EVERY_SHELL.search('pip install "$CHECKOUT[numbers]"')
    assert not NOT_IN_EVERY_SHELL.search('pip install "${CHECKOUT}[numbers]" $CHECKOUT/plugins/rtvi-plugins-vendor')


def installed(path: Path) -> Iterator[str]:
    """Every word for an installer that names a distribution of ours."""
    text = path.read_text("utf-8").replace("\\\n", " ")
    for command in re.findall(r"(?:pip|pipx|uv|poetry) (?:install|add)\b([^`\n]*)", text):
        words = re.findall(r"[^\s\"'`),;]+", command)
        yield from (word.rstrip(".") for word in words if "rtvi" in word)


def is_in_the_checkout(word: str) -> bool:
    """Whether a word is the path of one of our folders, or of a list of requirements in one."""
    known = re.fullmatch(r"(?:\$CHECKOUT|\.)/(plugins/rtvi-plugins-[a-z]+)(/[a-z.-]+\.txt)?", word)
    return known is not None and (ROOT / known[1]).joinpath((known[2] or "/pyproject.toml")[1:]).is_file()


def test_ours_is_installed_from_the_checkout() -> None:
    """Nothing is published, so no text installs one of our distributions by its name."""
    built = re.compile(r"dist/rtvi_plugins_acme-")  # what the tutorial builds
    words = [(path, word) for path in TEXTS for word in installed(path)]
    wrong = [each for each in words if not is_in_the_checkout(each[1]) and not built.match(each[1])]
    assert [f"{path.relative_to(ROOT)}: {word}" for path, word in wrong] == []


def test_an_install_by_name_would_be_found() -> None:
    """This shows that the test above can fail."""
    assert not is_in_the_checkout("rtvi-plugins-server")
    assert not is_in_the_checkout("./plugins/rtvi-plugins-nothing")
    assert is_in_the_checkout("./plugins/rtvi-plugins-server")


def test_a_hint_names_a_folder_that_is_there() -> None:
    """This is true for every distribution, and for an extra of the core."""
    hints = [install_hint(path.parent.name) for path in READMES]
    folders = [word for hint in hints for word in hint.partition("pip install ")[2].split()]
    assert [folder for folder in folders if not is_in_the_checkout(folder)] == []
    assert install_hint("rtvi-plugins[voice]").endswith('pip install ".[voice]"')


def test_a_hint_names_what_a_distribution_needs_of_ours() -> None:
    """It is on no registry, so the command must name its folder."""
    for folder in sorted((ROOT / "plugins").iterdir()):
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        names = [re.split(r"[\[>]", each)[0] for each in project["dependencies"]]
        ours = [each for each in names if each.startswith("rtvi-plugins-")]
        assert ours == ([NEEDED[folder.name]] if folder.name in NEEDED else [])
        for each in ours:
            assert f"./plugins/{each} ./plugins/{folder.name}" in install_hint(folder.name)


def test_a_hint_knows_every_plugin_of_ours() -> None:
    """Plugins are known by the names of their entry points."""
    found: dict[str, str] = {}
    for folder in (ROOT / "plugins").iterdir():
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        found |= dict.fromkeys(project.get("entry-points", {}).get("rtvi_plugins", {}), folder.name)
    assert dict(PLUGINS) == found
