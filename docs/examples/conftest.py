"""Each example is a folder of its own: `import bot` in its tests imports the bot.py of that folder."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent
#: It needs the package to be installed, as in the transcripts of the pages.
collect_ignore = ["acme/tests/test_rules.py"]


def _folders(test: Path) -> list[str]:
    """Return the folders from which a test imports."""
    example = EXAMPLES / test.relative_to(EXAMPLES).parts[0]
    return [str(each) for each in dict.fromkeys((test.parent, example, example / "src", EXAMPLES)) if each.is_dir()]


def _modules(folders: list[str]) -> dict[str, ModuleType]:
    """Return the modules that were imported from an example."""
    return {
        name: module
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) and str(Path(file).parent).startswith(tuple(folders))
    }


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Import a test with the folder of its example on the path, and without modules of other examples."""
    if not isinstance(collector, pytest.Module) or not collector.path.is_relative_to(EXAMPLES):
        return (yield)
    folders = _folders(collector.path)
    sys.path[:0] = folders
    try:
        report = yield
    finally:
        del sys.path[: len(folders)]
        collector.stash[_OWN] = _modules(folders)
        for name in collector.stash[_OWN]:
            del sys.modules[name]
    return report


_OWN = pytest.StashKey[dict[str, ModuleType]]()


@pytest.fixture(autouse=True)
def its_own_modules(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `bot` the bot of the test's own example."""
    module: pytest.Module = request.node.getparent(pytest.Module)
    monkeypatch.delitem(sys.modules, "bot", raising=False)  # somebody else's
    for name, each in module.stash.get(_OWN, dict[str, ModuleType]()).items():
        monkeypatch.setitem(sys.modules, name, each)
    monkeypatch.setattr(sys, "path", [*_folders(module.path), *sys.path])
