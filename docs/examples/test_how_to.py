"""The how-tos show whole files, each with its name. Above a part of a file is a link to the whole file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n\n<!-- docs/examples/(?P<file>\S+) -->\n"
    r"```\w+(?: title=\"(?P<title>\S+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: Path) -> list[re.Match[str]]:
    """Return the blocks of a page that quote a file."""
    return [*BLOCK.finditer(page.read_text("utf-8"))]


def is_whole(block: re.Match[str]) -> bool:
    """Return whether a block is the whole file."""
    return (ROOT / "docs" / "examples" / block["file"]).read_text("utf-8").strip() == block["text"].strip()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_part_says_where_the_whole_is(page: Path) -> None:
    """A part alone does not run: its imports are at the top of the file."""
    parts = [(each["file"], each["before"]) for each in blocks(page) if not is_whole(each)]
    assert [(file, before) for file, before in parts if before != f"From [{file}](../examples/{file}):"] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_whole_file_has_its_name_as_the_title(page: Path) -> None:
    """Readers see the title, but not the comment. They save the file under this name, and other files import it."""
    titles = {each["file"].partition("/")[2]: each["title"] for each in blocks(page) if is_whole(each)}
    assert [file for file, title in titles.items() if title != file] == []
