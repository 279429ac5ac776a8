"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

__all__ = ("BLOCKS", "COMMANDS", "DOCS", "PAGES", "QUOTED", "ROOT", "RUN", "Block", "blocks", "of")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KINDS = ("tutorial", "how-to", "reference", "explanation")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    DOCS / "index.md",
    *(path for kind in KINDS for path in sorted((DOCS / kind).glob("**/*.md"))),
]
#: Languages whose blocks are parts of files, of transcripts that are run, and of commands that are looked up.
QUOTED = ("python", "js", "jsx", "html", "toml", "nginx", "ini", "dockerfile", "yaml")
RUN, COMMANDS = ("console",), ("sh",)


@frozen
class Block:
    """A fenced block, and the comment on the line above it."""

    page: Path
    line: int
    language: str
    comment: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Return the fenced blocks of a page."""
    found = re.finditer(
        r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)(?: title=\S+)?\n(?P<text>.*?)^```$",
        page.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    for each in found:
        line = each.string.count("\n", 0, each.start()) + 1
        yield Block(page, line, each["language"], each["comment"] or "", each["text"])


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> pytest.MarkDecorator:
    """Return a parameter for each block in these languages."""
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return pytest.mark.parametrize("block", found, ids=[block.id for block in found])
