"""Every distribution of this repository: its files, its metadata, and what its wheel contains."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen

from ..tools.every import check_each

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path for path in ROOT.glob("plugins/*") if path.is_dir())
#: What plugins are built with. They declare nothing themselves.
LIBRARIES = ("rtvi-plugins-vendor",)
SERVICE_OR_MODULE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_-]*)?")


def import_name(folder: Path) -> str:
    """The name of the package in a distribution's folder."""
    return "rtvi_plugins" if folder == ROOT else folder.name.replace("-", "_")


@frozen
class Wheel:
    """A built wheel."""

    path: Path
    names: frozenset[str]

    def text(self, name: str) -> str:
        """One of its files."""
        with ZipFile(self.path) as archive:
            return archive.read(name).decode()

    @property
    def info(self) -> str:
        return "-".join(self.path.name.split("-")[:2]) + ".dist-info"

    @property
    def metadata(self) -> Message:
        return Parser().parsestr(self.text(f"{self.info}/METADATA"))

    def module_file(self, module: str) -> str:
        """Where a module of this wheel is, or a name that is not in it."""
        stem = module.replace(".", "/")
        return f"{stem}/__init__.py" if f"{stem}/__init__.py" in self.names else f"{stem}.py"


def declared(folder: Path) -> dict[str, dict[str, str]]:
    """The entry points of a distribution, by group, as its pyproject.toml declares them."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}


def build(folder: Path, into: Path) -> Wheel:
    """Build a wheel with what is installed, without a download."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path = next(into.glob("*.whl"))
    with ZipFile(path) as archive:
        return Wheel(path, frozenset(archive.namelist()))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Wheel]:
    """The wheel of each distribution's folder, built once."""
    folders = [ROOT, *PLUGINS]
    with ThreadPoolExecutor(2) as threads:
        built = threads.map(build, folders, (tmp_path_factory.mktemp("wheel") for _ in folders))
        return dict(zip(folders, built, strict=True))


def test_a_folder_has_what_a_distribution_needs() -> None:
    """Each folder has its own metadata, description, changelog and tests."""
    needed: list[Path] = []
    for folder in (ROOT, *PLUGINS):
        package = folder / ("" if folder == ROOT else "src") / import_name(folder)
        needed += [folder / name for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "tests")]
        needed += [package / "__init__.py", package / "py.typed"]
    assert [str(path) for path in needed if not path.exists()] == []


def test_wheels_are_right(wheels: dict[Path, Wheel]) -> None:
    """Their names, metadata, modules and entry points."""
    check_each(wheels.items(), lambda each: check_metadata(*each))
    check_each(wheels.items(), lambda each: check_contents(*each))
    check_each(wheels.items(), lambda each: check_entry_points(*each))


def check_metadata(folder: Path, wheel: Wheel) -> None:
    """Check the name, the version in the changelog, and for a plugin the core that it needs."""
    assert wheel.metadata["Name"] == import_name(folder).replace("_", "-")
    headings = re.findall(r"^## \[?v?([^\s\]]+)", (folder / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert wheel.metadata["Version"] in headings
    assert wheel.metadata["Requires-Python"] == ">=3.11"
    assert wheel.metadata["License-Expression"]
    assert wheel.metadata["Summary"]
    assert folder == ROOT or any(
        re.match(r"rtvi-plugins(\[voice\])?>=\d", each) for each in wheel.metadata.get_all("Requires-Dist", [])
    )


def check_contents(folder: Path, wheel: Wheel) -> None:
    """Check that the wheel has all modules of the folder, and no tests or compiled files."""
    package = import_name(folder)
    assert {name.partition("/")[0] for name in wheel.names} == {package, wheel.info}
    assert f"{package}/py.typed" in wheel.names
    own = [name for name in wheel.names if not name.endswith(".template")]  # `rtvi new` makes tests and dot files
    assert [name for name in own if re.search(r"\.pyc$|~$|/\.|/tests?/|node_modules", name)] == []
    source = folder if folder == ROOT else folder / "src"
    modules = {path.relative_to(source).as_posix() for path in (source / package).glob("**/*.py")}
    assert modules - wheel.names == set()


def check_entry_points(folder: Path, wheel: Wheel) -> None:
    """Check the module of each entry point and, after the colon, the function or class."""
    for group, entries in declared(folder).items():
        for entry in [EntryPoint(name, value, group) for name, value in entries.items()]:
            assert entry.module.partition(".")[0] == import_name(folder), entry
            tree = ast.parse(wheel.text(wheel.module_file(entry.module)))
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            assert not entry.attr or entry.attr in defined, entry


def test_plugins_declare_their_services_and_their_api_version() -> None:
    """A plugin has the name `<kind>.<provider>` or a plain name. Its API version is read without an import."""
    check_each((each for each in PLUGINS if each.name not in LIBRARIES), check_declared)


def check_declared(folder: Path) -> None:
    """Compare the entry points of a plugin with the form that they must have."""
    entries = declared(folder)
    assert [name for name in entries.get("rtvi_plugins", {}) if not SERVICE_OR_MODULE.fullmatch(name)] == []
    assert entries.get("rtvi_plugins.api") == {"1": import_name(folder)}
    assert entries.keys() & {
        "rtvi_plugins",
        "rtvi_plugins.bridges",
        "rtvi_plugins.commands",
        "rtvi_plugins.engines",
        "rtvi_plugins.stores",
    }
