"""In CI, a skipped test is a failure, and the longest files come first."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAYS = {
    "mark": "@pytest.mark.skip(reason='lazy')\ndef test_it(): pass",
    "call": "def test_it(): pytest.skip('lazy')",
    "fixture": "@pytest.fixture\ndef lazy(): pytest.skip('lazy')\n\ndef test_it(lazy): pass",
    "expected failure": "@pytest.mark.xfail(reason='lazy')\ndef test_it(): assert False",
    "module": "pytest.skip('lazy', allow_module_level=True)",
}


def run(folder: Path, ways: Iterable[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file for each way, with the rules of this repository."""
    shutil.copy(ROOT / "conftest.py", folder)
    for way in ways:
        source = f"import pytest\n\n{WAYS[way]}\n\ndef test_other(): pass\n"
        folder.joinpath(f"test_{way.replace(' ', '_')}.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_skipped_test_fails_with_its_reason(tmp_path: Path) -> None:
    """A test that was not run to its end does not count as passed."""
    done = run(tmp_path, WAYS, "--no-skips", "--continue-on-collection-errors")
    reports = re.findall(r"test_(\w+)\.py(?:::test_it)? was not run to its end: .*lazy", done.stdout)
    assert set(reports) == {way.replace(" ", "_") for way in WAYS}, done.stdout
    assert done.returncode != 0


def test_outside_of_ci_a_test_may_be_skipped(tmp_path: Path) -> None:
    """Contributors who lack something can still run the tests."""
    assert run(tmp_path, ["mark", "expected failure"]).returncode == 0


def test_the_longest_files_come_first(tmp_path: Path) -> None:
    """The others keep their order, and so do the tests of a file."""
    files: tuple[str, ...] = runpy.run_path(str(ROOT / "conftest.py"))["LONG_FILES"]
    assert [each for each in files if not (ROOT / each).is_file()] == []
    for each in ("a/test_first.py", files[-1], "z/test_last.py"):
        tmp_path.joinpath(each).parent.mkdir(parents=True)
        tmp_path.joinpath(each).write_text("def test_b(): pass\n\ndef test_a(): pass\n")
    listed = run(tmp_path, [], "--import-mode=importlib", "--collect-only", "-q", "--long-first").stdout
    assert re.findall(r"(\w+)\.py::test_(.)", listed) == [
        (name, test) for name in (Path(files[-1]).stem, "test_first", "test_last") for test in "ba"
    ]
