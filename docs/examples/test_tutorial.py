"""The tutorial of the provider shows its files whole: whoever copies each part has what is tested here."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tutorial" / "first-provider.md"
BLOCK = re.compile(r"^<!-- (docs/examples/acme/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    """What a text says, whatever the space between its parts."""
    return [line for line in text.splitlines() if line.strip()]


def test_the_parts_of_a_file_make_the_file() -> None:
    """In the order in which they are shown, and indented as they are."""
    shown: dict[str, str] = defaultdict(str)
    for path, text in BLOCK.findall(PAGE.read_text("utf-8")):
        shown[path] += text
    assert {path: lines(text) for path, text in shown.items()} == {
        path: lines((ROOT / path).read_text("utf-8")) for path in shown
    }


def test_no_file_is_left_out() -> None:
    """But for the one that is empty."""
    folder = ROOT / "docs" / "examples" / "acme"
    found = [path for path in folder.rglob("*.*") if path.is_file() and path.suffix in (".py", ".md", ".toml")]
    shown = {ROOT / path for path, _ in BLOCK.findall(PAGE.read_text("utf-8"))}
    assert [path for path in found if path not in shown and path.name != "py.typed"] == []
