"""Every distribution of this repository: its files, its metadata, and what its wheel contains."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path for path in ROOT.glob("plugins/*") if path.is_dir())
SERVICE_OR_MODULE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_-]*)?")


def import_name(folder: Path) -> str:
    """The package that a distribution's folder brings."""
    return "rtvi_plugins" if folder == ROOT else folder.name.replace("-", "_")


@frozen
class Wheel:
    """A built wheel, read."""

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
    """Build a wheel with what is installed, fetching nothing."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path = next(into.glob("*.whl"))
    with ZipFile(path) as archive:
        return Wheel(path, frozenset(archive.namelist()))


@pytest.fixture(scope="module", params=[ROOT, *PLUGINS], ids=lambda folder: folder.name if folder != ROOT else "core")
def folder(request: pytest.FixtureRequest) -> Path:
    """Each distribution's folder in turn."""
    each: Path = request.param
    return each


@pytest.fixture(scope="module")
def wheel(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The folder's wheel, built once."""
    return build(folder, tmp_path_factory.mktemp("wheel"))


def test_the_folder_has_what_a_distribution_needs(folder: Path) -> None:
    """Somebody who finds the folder alone finds its metadata, its description, its history and its tests."""
    package = folder / ("" if folder == ROOT else "src") / import_name(folder)
    needed = [folder / name for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "tests")]
    assert [str(path) for path in [*needed, package / "__init__.py", package / "py.typed"] if not path.exists()] == []


def test_the_folder_is_named_as_the_distribution(folder: Path, wheel: Wheel) -> None:
    """`pip install rtvi-plugins-acme` installs what plugins/rtvi-plugins-acme is."""
    assert wheel.metadata["Name"] == import_name(folder).replace("_", "-")


def test_the_changelog_has_the_version(folder: Path, wheel: Wheel) -> None:
    """What is released has been written down."""
    headings = re.findall(r"^## \[?v?([^\s\]]+)", (folder / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert wheel.metadata["Version"] in headings


def test_the_metadata_says_what_an_installer_must_know(folder: Path, wheel: Wheel) -> None:
    """The floor of Python, the licence, a description, and for a plugin the core that it needs."""
    assert wheel.metadata["Requires-Python"] == ">=3.11"
    assert wheel.metadata["License-Expression"]
    assert wheel.metadata["Summary"]
    assert folder == ROOT or any(
        re.match(r"rtvi-plugins(\[voice\])?>=\d", each) for each in wheel.metadata.get_all("Requires-Dist", [])
    )


def test_the_wheel_holds_the_package_and_nothing_else(folder: Path, wheel: Wheel) -> None:
    """No tests, no second package, nothing compiled or left behind; and type checkers may trust it."""
    package = import_name(folder)
    assert {name.partition("/")[0] for name in wheel.names} == {package, wheel.info}
    assert f"{package}/py.typed" in wheel.names
    assert [name for name in wheel.names if re.search(r"\.pyc$|~$|/\.|/tests?/|node_modules", name)] == []


def test_every_module_of_the_folder_is_in_the_wheel(folder: Path, wheel: Wheel) -> None:
    """What the tests import from the folder, a stranger can import."""
    source = folder if folder == ROOT else folder / "src"
    modules = {path.relative_to(source).as_posix() for path in (source / import_name(folder)).glob("**/*.py")}
    assert modules - wheel.names == set()


def test_entry_points_name_what_is_in_the_wheel(folder: Path, wheel: Wheel) -> None:
    """Each names a module of its own distribution and, after the colon, a function of that module."""
    for group, entries in declared(folder).items():
        for entry in [EntryPoint(name, value, group) for name, value in entries.items()]:
            assert entry.module.partition(".")[0] == import_name(folder), entry
            tree = ast.parse(wheel.text(wheel.module_file(entry.module)))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert not entry.attr or entry.attr in functions, entry


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name, scope="module")
def test_a_plugin_declares_its_services_and_its_api_version(folder: Path) -> None:
    """A plugin is found under `<kind>.<provider>` or a plain name, and its API version is read without importing it."""
    entries = declared(folder)
    assert [name for name in entries.get("rtvi_plugins", {}) if not SERVICE_OR_MODULE.fullmatch(name)] == []
    assert entries.get("rtvi_plugins.api") == {"1": import_name(folder)}
    assert entries.keys() & {"rtvi_plugins", "rtvi_plugins.commands"}
