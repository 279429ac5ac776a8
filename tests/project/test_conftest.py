"""The rule of CI that a skipped test is a failure, tried on tests that skip in every way there is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAYS = {
    "mark": "@pytest.mark.skip(reason='lazy')\ndef test_it(): pass",
    "call": "def test_it(): pytest.skip('lazy')",
    "fixture": "@pytest.fixture\ndef lazy(): pytest.skip('lazy')\n\ndef test_it(lazy): pass",
    "expected failure": "@pytest.mark.xfail(reason='lazy')\ndef test_it(): assert False",
    "module": "pytest.skip('lazy', allow_module_level=True)",
}


def run(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under this repository's rules."""
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "test_it.py").write_text(f"import pytest\n\n{source}\n\ndef test_other(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_a_skipped_test_fails_with_its_reason(way: str, tmp_path: Path) -> None:
    """Nothing that was not run to its end counts as passed."""
    done = run(tmp_path, WAYS[way], "--no-skips")
    assert done.returncode != 0
    assert "was not run to its end: " in done.stdout
    assert "lazy" in done.stdout


@pytest.mark.parametrize("way", ["mark", "expected failure"])
def test_outside_of_ci_a_test_may_be_skipped(way: str, tmp_path: Path) -> None:
    """A contributor who lacks something is not stopped."""
    assert run(tmp_path, WAYS[way]).returncode == 0
