"""The provider tutorial begins with what `rtvi new` makes, and shows every change to it.

So its readers have the tested files of docs/examples/acme.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtvi_plugins.__main__ import main

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "acme"
PAGE = ROOT / "docs" / "tutorial" / "first-provider.md"
COMMAND = re.compile(r"^rtvi (new provider llm acme) --author \"(.+)\"$", re.MULTILINE)
BLOCK = re.compile(
    r"^<!-- docs/examples/acme/(\S+) -->\n```\w+(?: title=\"\S+\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
TEXTS = ("", ".md", ".py", ".toml", ".typed", ".yml")


def read(folder: Path) -> dict[str, str]:
    """Return the text of each file, by its path. The year of the licence is left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in TEXTS]
    found = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files if is_kept(path)}
    return {path: re.sub(r"(?<=Copyright \(c\) )\d+", "YEAR", text) for path, text in found.items()}


def is_kept(path: Path) -> bool:
    """Return whether a file is in the repository: no caches."""
    return not any("cache" in part or part == "dist" or part.endswith(".egg-info") for part in path.parts)


def parts(path: str, text: str) -> Iterator[str]:
    """Yield the parts that can be replaced: the statements of a module, or the lines of another text."""
    if not path.endswith(".py"):
        yield from filter(None, text.splitlines())
        return
    lines, end = text.splitlines(), 0
    for statement in ast.parse(text).body:
        yield "\n".join(lines[end : statement.end_lineno]).strip()
        assert statement.end_lineno is not None
        end = statement.end_lineno


@pytest.fixture
def scaffold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the command of the page makes."""
    monkeypatch.chdir(tmp_path)
    command = COMMAND.search(PAGE.read_text("utf-8"))
    assert command is not None
    assert main([*command[1].split(), "--author", command[2]]) == 0
    return read(tmp_path / "rtvi-plugins-acme")


def shown() -> dict[str, str]:
    """Return what the page shows of each file."""
    found: dict[str, str] = {}
    for path, text in BLOCK.findall(PAGE.read_text("utf-8")):
        found[path] = f"{found.get(path, '')}\n{text}"
    return found


def test_the_example_is_what_the_command_makes_and_the_changes_of_the_page(scaffold: dict[str, str]) -> None:
    """Each part of each file is made by the command, or is shown."""
    example, page = read(EXAMPLE), shown()
    assert {*example} == {*scaffold}
    unseen = [
        (path, part)
        for path, text in example.items()
        for part in parts(path, text)
        if part not in [*parts(path, scaffold[path])] and part not in page.get(path, "")
    ]
    assert unseen == []


def test_what_the_page_shows_is_in_the_example() -> None:
    """Its parts are complete, and in the order of the file."""
    example = read(EXAMPLE)
    for path, text in BLOCK.findall(PAGE.read_text("utf-8")):
        assert text in example[path], path


def test_the_provider_is_shown_whole() -> None:
    """The blocks of llm.py, one below the other, are the file."""
    path = "src/rtvi_plugins_acme/llm.py"
    assert shown()[path].split() == read(EXAMPLE)[path].split()
