"""The documentation: its code runs, its links work, and nothing is missing."""

from __future__ import annotations

import importlib.util
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import rtvi_plugins
from rtvi_plugins import errors, events, hookspecs
from rtvi_plugins.declare.annotations import read
from rtvi_plugins.events import serialize
from rtvi_plugins.protocol.state_machine import _READERS  # pyright: ignore[reportPrivateUsage]

from ..tools.every import check_each
from ..tools.pages import BLOCKS, COMMANDS, DOCS, PAGES, QUOTED, ROOT, RUN, Block
from .test_exports import public_modules

REFERENCE = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("reference/*.md")))


def test_every_block_is_of_a_language_that_is_checked() -> None:
    """Blocks that are not run are of the language `text`."""
    known = (*QUOTED, *RUN, *COMMANDS, "json", "text")
    assert [block.id for block in BLOCKS if block.language not in known] == []


# ---- code ----------------------------------------------------------------------------------------------------------


def contains(text: str, part: str) -> bool:
    """Whether a text contains these lines, with any common indentation."""
    wanted = textwrap.dedent(part).strip("\n").splitlines()
    lines = text.splitlines()
    windows = (lines[start : start + len(wanted)] for start in range(len(lines) - len(wanted) + 1))
    return any(textwrap.dedent("\n".join(window)).splitlines() == wanted for window in windows)


def example_of(path: Path) -> Path:
    """The folder of an example, for a file in it."""
    return DOCS / "examples" / path.relative_to(DOCS / "examples").parts[0]


def test_code_is_part_of_a_file_that_is_run() -> None:
    """Readers copy only code that has been run."""
    check_each([block for block in BLOCKS if block.language in QUOTED], check_code)


def check_code(block: Block) -> None:
    """Find the block in its file. A test imports or runs the file, or its distribution is built here."""
    assert block.comment, "name the file in a comment above the block"
    path = ROOT / block.comment
    assert contains(path.read_text("utf-8"), block.text)
    folder = example_of(path)
    tests = [*folder.glob("**/test_*.py"), ROOT / "tests" / "browser" / "test_documented.py"]
    used = any(
        re.search(rf"\b{re.escape(name)}\b", each.read_text("utf-8"))
        for each in tests
        for name in (path.name, path.stem)
    )
    built = any(f"{folder.relative_to(ROOT)} installed" in each.comment for each in BLOCKS)
    assert path in tests or used or (path.name in ("pyproject.toml", "bot.py") and built)


# ---- the reference -------------------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date() -> None:
    """`python docs/generate.py` changes nothing."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = {path.name: path.read_text("utf-8") for path in DOCS.glob("*/*.md")}
    assert [name for name, text in pages.items() if module.generated(text) != text] == []


def mentioned(name: str) -> bool:
    """Whether the reference mentions something, in code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])[^`\n]*`", REFERENCE) is not None


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("public name", rtvi_plugins.__all__),
        ("event", [each for each in events.__all__ if each not in ("Event", "serialize")]),
        ("hook", hookspecs.HOOKS),
        ("error code", errors.CATALOGUE),
        ("message type", _READERS),
    ],
)
def test_the_reference_leaves_nothing_out(what: str, names: Sequence[str]) -> None:
    """Messages, events, codes and hooks are in tables. The API pages are generated from `__all__`."""
    assert [name for name in names if not mentioned(name)] == [], what


def test_every_public_module_has_an_api_page() -> None:
    """A page has one directive. Griffe fills it from the docstrings."""
    pages = {path.stem: path.read_text("utf-8") for path in DOCS.glob("reference/api/*.md") if path.stem != "index"}
    named = {name: name.removeprefix("rtvi_plugins.") for name in public_modules()}
    assert sorted(pages) == sorted(named.values())
    assert [name for name, stem in named.items() if f"::: {name}\n" not in pages.get(stem, "")] == []


def test_every_spelling_of_an_event_is_in_the_reference() -> None:
    """This is true for every generation."""
    examples: list[events.Event] = [
        events.UserTranscription("", ""),
        events.UserLLMText(""),
        events.UserStartedSpeaking(),
        events.UserStoppedSpeaking(),
        events.BotTTSStarted(),
        events.BotTTSText(""),
        events.BotTTSStopped(),
        events.BotStartedSpeaking(),
        events.BotStoppedSpeaking(),
        events.BotLLMStarted(),
        events.BotLLMText(""),
        events.BotLLMStopped(),
        events.BotTurnEnded(),
        events.BotOutput("", 1),
        events.Interrupted(),
        events.FunctionCallStarted("", "", {}),
        events.FunctionCallEnded("", "", cancelled=True),
        events.Metrics("llm", ttfb=1.0),
    ]
    versions = [(0, 3, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 1, 0)]
    assert {type(event).__name__ for event in examples} == set(events.__all__) - {"Event", "serialize"}
    sent = {type for event in examples for version in versions for type, _ in serialize(event, version)}
    assert [type for type in sorted(sent) if not mentioned(type)] == []


def test_types_are_as_the_table_says() -> None:
    """Each row is compared with the code."""
    page = (DOCS / "reference" / "types.md").read_text("utf-8")
    table = page.partition("<!-- types -->\n")[2].strip().partition("\n\n")[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]
    names: dict[str, Any] = {"Literal": Literal, "Any": Any, "Sequence": Sequence, "Mapping": Mapping}
    for annotation, word, schema in rows:
        shape = read(eval(annotation.strip("`").replace("\\|", "|"), names))
        assert (shape.rtvi_type, shape.schema) == (word, json.loads(schema.strip("`"))), annotation
    assert len(rows) > 10


# ---- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The link targets of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in headings}


def test_links_lead_somewhere() -> None:
    """Files and headings exist."""
    check_each(PAGES, check_links)


def check_links(page: Path) -> None:
    """Check every link of a page within this repository."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_page_is_of_one_of_the_four_kinds() -> None:
    """Pages in other folders would not be checked."""
    pages = {path for path in DOCS.glob("**/*.md") if not path.is_relative_to(DOCS / "examples")}
    assert pages - set(PAGES) == set()


def test_every_page_is_linked_from_the_index() -> None:
    """Otherwise nobody finds a page. The index of the API links the pages of its modules."""
    index = (DOCS / "index.md").read_text("utf-8")
    api = (DOCS / "reference" / "api" / "index.md").read_text("utf-8")
    pages = [
        path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS) and path.name != "index.md"
    ]
    linked = {page for page in pages if f"({page})" in index or f"({page.removeprefix('reference/api/')})" in api}
    assert [page for page in pages if page not in linked] == []
    assert "(reference/api/index.md)" in index
