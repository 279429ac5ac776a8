"""An environment that has only the installed wheels. It is made from what is here, without downloads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from attrs import frozen
from packaging.requirements import Requirement

from ..tools.patience import PATIENCE
from ..tools.processes import Process, environment, running

__all__ = ("BOTS", "ROOT", "Scratch", "build", "closure", "make_scratch", "needs")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BOTS = HERE / "bots.py"
CORE = distribution("rtvi-plugins")

#: What a stranger has: the core, the server, the client, the rules, and four plugins that are not ours.
INSTALLED = (
    ROOT,
    *(ROOT / "plugins" / f"rtvi-plugins-{name}" for name in ("server", "client", "rules")),
    *(HERE / name for name in ("acme", "sums", "recorder", "broken")),
)
#: What makes trouble beside the others; only on the path of those who want it.
TROUBLE = (HERE / "bazaar", HERE / "outdated")


@frozen
class Scratch:
    """The environment. For each plugin's module that a process imports, it writes a file to `imported`."""

    folder: Path
    imported: Path

    def marks(self) -> set[str]:
        """Return which of the plugins' modules have been imported since the last call."""
        marks = list(self.imported.iterdir())
        for mark in marks:
            mark.unlink()
        return {mark.name for mark in marks}

    def rtvi(self, *words: str | Path, trouble: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command `rtvi` until it ends."""
        return subprocess.run(
            [str(self._rtvi), *map(str, words)],
            env=self._env(trouble, env),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    @contextmanager
    def serving(self, bot: str, *, trouble: bool = False, **env: str) -> Generator[Process]:
        """Serve a bot of bots.py. `matched` is its address."""
        command: list[str | Path] = [self._rtvi, "run", f"{BOTS}:{bot}", "--port", "0"]
        with running(command, r"(http://127\.0\.0\.1:\d+)", env=self._env(trouble, env), cwd=self.folder) as process:
            yield process

    @property
    def _rtvi(self) -> Path:
        return self.folder / "bin" / "rtvi"

    def _env(self, trouble: bool, added: Mapping[str, str]) -> Mapping[str, str]:
        also = {"PYTHONPATH": str(self.folder / "trouble")} if trouble else {}
        return environment(IMPORTED=str(self.imported), **also, **added)


def make_scratch(folder: Path) -> Scratch:
    """Build the wheels, install them, and let pip check that their dependencies are there."""
    scratch = Scratch(folder, folder / "imported")
    scratch.imported.mkdir()
    _run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    install = (*pip, "install", "--no-index", "--no-deps")
    _run(*install, *(build(each, folder / "wheels" / each.name) for each in INSTALLED))
    _link_dependencies(next(folder.glob("lib/python*/site-packages")))
    _run(*pip, "check")
    _run(*install, "--target", folder / "trouble", *(build(each, folder / "wheels" / each.name) for each in TROUBLE))
    return scratch


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        list(map(str, command)),
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build(source: Path, into: Path) -> Path:
    """Build the wheel of a folder, and return it."""
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into, cwd=source)
    return next(into.glob("*.whl"))


# ---- what the wheels depend on, from the environment in which the tests run ----------------------------------------


def _link_dependencies(site_packages: Path) -> None:
    """Link what the distributions in a folder need into it, except what belongs to this repository."""
    wanted = [need for each in distributions(path=[str(site_packages)]) for need in needs(each, set())]
    # An extra of one of ours, as in rtvi-plugins[voice], stands for what it asks for.
    wanted += [more for need in wanted if need.name == "rtvi-plugins" for more in needs(CORE, need.extras)]
    for each in closure(need for need in wanted if not need.name.startswith("rtvi-plugins")):
        _link(each, site_packages)


def needs(found: Distribution, extras: set[str]) -> list[Requirement]:
    """Return the requirements of a distribution with these extras."""
    all_needs = [Requirement(each) for each in found.requires or ()]
    return [
        need
        for need in all_needs
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def closure(requirements: Iterable[Requirement]) -> Iterable[Distribution]:
    """Return the installed distributions that meet the requirements, and those that they require in turn."""
    found: dict[str, Distribution] = {}
    waiting, seen = list(requirements), set[str]()
    while waiting:
        need = waiting.pop()
        if str(need) not in seen:
            seen.add(str(need))
            found[need.name] = distribution(need.name)
            waiting += needs(found[need.name], need.extras)
    return found.values()


def _link(found: Distribution, site_packages: Path) -> None:
    """Make a distribution's modules and metadata importable from another environment as well."""
    names = {path.parts[0] for path in found.files or () if not re.match(r"\.\.|__pycache__", path.parts[0])}
    for name in names:
        place = site_packages / name
        if not place.exists():
            place.symlink_to(Path(str(found.locate_file(name))))
