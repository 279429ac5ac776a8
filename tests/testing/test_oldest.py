"""`rtvi check --oldest`: a package is checked again with the oldest core that it claims, from real wheels."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import evolve
from packaging.requirements import Requirement

from rtvi_plugins.__main__ import main
from rtvi_plugins.testing import PackageReport, Report, Result
from rtvi_plugins.testing.oldest_core import with_oldest
from rtvi_plugins.testing.package_check import oldest_core

from ..wheels.scratch import CORE, ROOT, build, closure, needs
from .package_mutants import GOOD_PACKAGE, MODULE, Package

pytestmark = pytest.mark.slow

NAME = "rtvi-plugins-mutant"
#: A package with two providers. The older core lacks a name that the first one imports.
PLAIN = (
    MODULE.replace("import LLM, STT, Doc, ", "import LLM, ")
    .replace("mutant", "plain")
    .replace("\n\nclass", "\nfrom typing_extensions import Doc\n\nclass", 1)
)
PACKAGE = evolve(
    GOOD_PACKAGE,
    metadata=GOOD_PACKAGE.metadata.replace(">= 0.1", ">= 0.0.1"),
    entry_points=GOOD_PACKAGE.entry_points.replace(
        "[rtvi_plugins]", "[rtvi_plugins]\nllm.plain = rtvi_plugins_mutant.plain"
    ),
    files={"py.typed": "", "plain.py": PLAIN},
)


def wheel_of(found: Distribution, into: Path) -> None:
    """Build again the wheel from which a distribution was installed."""
    tags = re.findall(r"^Tag: (\S+)", found.read_text("WHEEL") or "", re.MULTILINE)
    tag = next(each for each in tags if not each.startswith("py2-"))
    name = f"{found.metadata['Name'].replace('-', '_')}-{found.version}-{tag}.whl"
    with ZipFile(into / name, "w") as wheel:
        for each in found.files or ():
            file = Path(str(each.locate()))
            if ".." not in each.parts and "__pycache__" not in each.parts and file.is_file():
                wheel.write(file, str(each))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: a core 0.0.1 without `Doc`, and what it and the check need."""
    folder, source = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("core")
    shutil.copytree(ROOT / "rtvi_plugins", source / "rtvi_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        text = (ROOT / name).read_text("utf-8")
        (source / name).write_text(text.replace(f'\nversion = "{CORE.version}"', '\nversion = "0.0.1"'), "utf-8")
    top = source / "rtvi_plugins" / "__init__.py"
    top.write_text(top.read_text("utf-8").replace("import Doc", "import Doc as _Doc").replace('"Doc",', ""), "utf-8")
    build(source, folder)
    for each in closure([*needs(CORE, set()), Requirement("jsonschema"), Requirement("trio")]):
        wheel_of(each, folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages. pip finds only the wheels."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    yield tmp_path
    for each in [each for each in sys.modules if each.startswith("rtvi_plugins_mutant")]:
        del sys.modules[each]


def install(package: Package, site: Path, wheels: Path) -> None:
    """Install a package, and add its wheel to the others."""
    package.install(site)
    with ZipFile(wheels / "rtvi_plugins_mutant-1.2-py3-none-any.whl", "w") as wheel:
        for each in sorted(site.rglob("*")):
            if each.is_file():
                wheel.write(each, str(each.relative_to(site)))
        info = "rtvi_plugins_mutant-1.2.dist-info"
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_what_the_oldest_core_lacks_is_named(site: Path, wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has the version to declare. A provider that does not use it keeps the rule."""
    install(PACKAGE, site, wheels)
    assert main(["check", NAME, "-v", "--oldest", "--find-links", str(wheels)]) == 1
    mutant, plain = capsys.readouterr().out.split("\nllm.plain:")
    assert "P215  silver  kept" in plain
    assert "P215  silver  broken" in mutant
    assert "with rtvi-plugins 0.0.1, P109: ImportError: cannot import name 'Doc' from 'rtvi_plugins'" in mutant
    assert f"Write rtvi-plugins>={CORE.version}" in mutant


def test_a_core_that_cannot_be_found_is_no_fault(site: Path, wheels: Path) -> None:
    """The rule was not checked, and the report says why."""
    install(evolve(PACKAGE, metadata=PACKAGE.metadata.replace(">= 0.0.1", ">= 0.0.0.5")), site, wheels)
    report = PackageReport(NAME, "1.2", CORE.version, (Report("llm.plain", (Result("P215", "not applicable"),)),))
    [found] = with_oldest(report, checks=None, provider=None, find_links=[str(wheels)]).reports[0].results
    assert found.state == "not checked"
    assert "Could not find a version that satisfies the requirement rtvi-plugins==0.0.0.5" in found.what


@pytest.mark.parametrize(
    ("requires", "oldest"),
    [
        (["attrs>=24", "rtvi_plugins[voice] >= 0.3, <2"], "0.3"),
        (["rtvi-plugins~=1.2"], "1.2"),
        (["rtvi-plugins==1.0.*"], "1.0"),
        (["rtvi-plugins<2"], None),
        (["rtvi-plugins-vendor>=0.1"], None),
    ],
)
def test_the_oldest_core_is_that_of_the_requirement(requires: list[str], oldest: str | None) -> None:
    """All forms with a lower bound are tried."""
    assert oldest_core(requires) == oldest
