"""The how-tos show whole files. Above a part of a file is a link to the whole file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n\n<!-- docs/examples/(?P<file>\S+) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_part_says_where_the_whole_is(page: Path) -> None:
    """A part alone does not run: its imports are at the top of the file."""
    parts = [
        (each["file"], each["before"])
        for each in BLOCK.finditer(page.read_text("utf-8"))
        if (ROOT / "docs" / "examples" / each["file"]).read_text("utf-8").strip() != each["text"].strip()
    ]
    assert [(file, before) for file, before in parts if before != f"From [{file}](../examples/{file}):"] == []
