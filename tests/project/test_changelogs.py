"""The changelogs have one format, and a release finds all fragments."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
CONFIG = tomllib.loads((ROOT / "towncrier.toml").read_text("utf-8"))["tool"]["towncrier"]
TYPES = [each["directory"] for each in CONFIG["type"]]


def test_every_changelog_has_the_place_for_release_notes() -> None:
    """Releases are written below the mark, above the newest version."""
    mark = re.compile(rf"{re.escape(CONFIG['start_string'])}\n## \d+\.\d+\.\d+ \((unreleased|\d{{4}}-\d\d-\d\d)\)\n")
    assert [str(each) for each in FOLDERS if not mark.search((each / CONFIG["filename"]).read_text("utf-8"))] == []


def test_every_fragment_has_a_known_type() -> None:
    """A release would not find a file with another name."""
    name = re.compile(rf"(\d+|\+[\w.-]+)\.({'|'.join(TYPES)})(\.\d+)?\.md")
    fragments = [path for each in FOLDERS for path in (each / CONFIG["directory"]).glob("*")]
    assert [str(path) for path in fragments if not name.fullmatch(path.name)] == []
