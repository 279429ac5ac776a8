"""The provider tutorial shows every file completely, so its readers have the tested files."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tutorial" / "first-provider.md"
BLOCK = re.compile(r"^<!-- (docs/examples/acme/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    """Return the lines of a text without empty lines."""
    return [line for line in text.splitlines() if line.strip()]


def test_the_parts_of_a_file_make_the_file() -> None:
    """The parts are in the order of the file."""
    shown: dict[str, str] = defaultdict(str)
    for path, text in BLOCK.findall(PAGE.read_text("utf-8")):
        shown[path] += text
    assert {path: lines(text) for path, text in shown.items()} == {
        path: lines((ROOT / path).read_text("utf-8")) for path in shown
    }


def test_no_file_is_left_out() -> None:
    """The empty file is the only exception."""
    folder = ROOT / "docs" / "examples" / "acme"
    found = [path for path in folder.rglob("*.*") if path.is_file() and path.suffix in (".py", ".md", ".toml")]
    shown = {ROOT / path for path, _ in BLOCK.findall(PAGE.read_text("utf-8"))}
    assert [path for path in found if path not in shown and path.name != "py.typed"] == []
