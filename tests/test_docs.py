"""The documentation: its code runs, its transcripts are real, its links lead somewhere, and nothing is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast
from zipfile import ZipFile

import pytest
from attrs import frozen

import rtvi_plugins
from rtvi_plugins import client, errors, events, hookspecs, hosting, kinds, testing
from rtvi_plugins._conversation import _READERS  # pyright: ignore[reportPrivateUsage]
from rtvi_plugins._shapes import read
from rtvi_plugins.events import spell
from rtvi_plugins.testing import ConnectionStream, host_for

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
KINDS = ("tutorial", "how-to", "reference", "explanation")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    DOCS / "index.md",
    *(path for kind in KINDS for path in sorted((DOCS / kind).glob("*.md"))),
]
REFERENCE = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("reference/*.md")))

#: Languages whose blocks are parts of files, of transcripts that are run, and of commands that are looked up.
QUOTED, RUN, COMMANDS = ("python", "js", "toml"), ("console",), ("sh",)


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
    """The fenced blocks of a page."""
    found = re.finditer(
        r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
        page.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    for each in found:
        line = each.string.count("\n", 0, each.start()) + 1
        yield Block(page, line, each["language"], each["comment"] or "", each["text"])


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> pytest.MarkDecorator:
    """A parameter for each block of these languages."""
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return pytest.mark.parametrize("block", found, ids=[block.id for block in found])


def test_every_block_is_of_a_language_that_is_checked() -> None:
    """Text that looks like code, and is not run, is called text."""
    known = (*QUOTED, *RUN, *COMMANDS, "json", "text")
    assert [block.id for block in BLOCKS if block.language not in known] == []


# ---- code ----------------------------------------------------------------------------------------------------------


def contains(text: str, part: str) -> bool:
    """Whether some lines of a text are these, whatever the indentation that all of them share."""
    wanted = textwrap.dedent(part).strip("\n").splitlines()
    lines = text.splitlines()
    windows = (lines[start : start + len(wanted)] for start in range(len(lines) - len(wanted) + 1))
    return any(textwrap.dedent("\n".join(window)).splitlines() == wanted for window in windows)


def example_of(path: Path) -> Path:
    """The folder of an example, for a file in it."""
    return DOCS / "examples" / path.relative_to(DOCS / "examples").parts[0]


@of(*QUOTED)
def test_code_is_part_of_a_file(block: Block) -> None:
    """What a reader copies has been run."""
    path = ROOT / block.comment
    assert block.comment, "name the file in a comment above the block"
    assert contains(path.read_text("utf-8"), block.text)


@of(*QUOTED)
def test_the_file_is_run(block: Block) -> None:
    """A test beside it imports it, runs it, or is it; what describes a distribution is built here."""
    path = ROOT / block.comment
    folder = example_of(path)
    tests = list(folder.glob("**/test_*.py"))
    used = any(
        re.search(rf"\b{re.escape(name)}\b", each.read_text("utf-8"))
        for each in tests
        for name in (path.name, path.stem)
    )
    built = any(f"{folder.relative_to(ROOT)} installed" in each.comment for each in BLOCKS)
    assert path in tests or used or (path.name in ("pyproject.toml", "bot.py") and built)


# ---- commands ------------------------------------------------------------------------------------------------------


@frozen
class Place:
    """Where a transcript is run: `run in FOLDER with A as B against BOT`, or `run … with FOLDER installed`."""

    folder: str | None
    renamed: tuple[str, str] | None
    against: str | None
    installed: str | None

    @classmethod
    def read(cls, comment: str) -> Place:
        assert comment.startswith("run "), "say where it is run: <!-- run in docs/examples/first_bot -->"
        folder = re.search(r"\bin (\S+)", comment)
        renamed = re.search(r"\bwith (\S+) as (\S+)", comment)
        against = re.search(r"\bagainst (\S+)", comment)
        installed = re.search(r"\bwith (\S+) installed", comment)
        return cls(
            folder[1] if folder else None,
            (renamed[1], renamed[2]) if renamed else None,
            against[1] if against else None,
            installed[1] if installed else None,
        )


@contextmanager
def prepared(place: Place, work: Path) -> Generator[tuple[Path, dict[str, str], str]]:
    """The folder to run in, the environment, and the address of the server, if there is one."""
    home, environment = work / "home", {**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    home.mkdir()
    if place.folder is not None:
        shutil.copytree(ROOT / place.folder, home, dirs_exist_ok=True)
    if place.renamed is not None:
        shutil.copy(home / place.renamed[0], home / place.renamed[1])
    if place.installed is not None:
        environment["PYTHONPATH"] = str(_install(ROOT / place.installed, work))
    with ExitStack() as stack:
        address = stack.enter_context(_served(home / place.against, environment)) if place.against else ""
        yield home, environment, address


def _install(folder: Path, work: Path) -> Path:
    """A folder for the path, in which a distribution is installed from its wheel."""
    source, site = work / "source", work / "site"
    shutil.copytree(folder, source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "dist")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with ZipFile(next((work / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


@contextmanager
def _served(bot: Path, environment: Mapping[str, str]) -> Generator[str]:
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(bot), "--dev", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield found.group()
        finally:
            process.terminate()
            process.wait(timeout=30)


def steps(transcript: str) -> Iterator[tuple[str, str, str]]:
    """Each command of a transcript with what is typed into it and what it prints."""
    for part in re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        typed = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
        printed = [line for line in lines if not line.startswith("> ")]
        yield command, "".join(f"{line}\n" for line in typed), "\n".join(printed)


def matches(printed: str, expected: str) -> bool:
    """Whether something was printed; "…" stands for a part of a line, alone in its line for any lines."""
    lines = [re.escape(line).replace("…", ".*") for line in expected.splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == ".*" else f"{line} *\n" for line in lines)
    return re.fullmatch(pattern, printed) is not None


@of(*RUN)
def test_a_transcript_is_what_happens(block: Block, tmp_path: Path) -> None:
    """The commands are run, and print what the page says."""
    with prepared(Place.read(block.comment), tmp_path) as (home, environment, address):
        for command, typed, expected in steps(block.text):
            program, *words = shlex.split(command.replace("http://127.0.0.1:7860", address))
            start = {"rtvi": [sys.executable, "-m", "rtvi_plugins"], "python": [sys.executable]}[program]
            done = subprocess.run(
                [*start, *words],
                cwd=home,
                env=environment,
                input=typed,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=50,
            )
            assert matches(done.stdout, expected), done.stdout


@cache
def help_of(command: str) -> str:
    """What a command of `rtvi` tells about itself."""
    done = subprocess.run(
        [sys.executable, "-m", "rtvi_plugins", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@of(*COMMANDS, *RUN)
def test_commands_have_the_options_that_are_shown(block: Block) -> None:
    """A command that is only shown is looked up."""
    for line in block.text.splitlines():
        words = shlex.split(line.removeprefix("$ "))
        if words[:1] == ["rtvi"] and not words[1].startswith("-"):
            for option in (word for word in words if word.startswith("--")):
                assert option in help_of(words[1]), line


@pytest.mark.parametrize("command", ["plugins", "describe", "console", "run", "call"])
def test_the_reference_names_every_option(command: str) -> None:
    """Of every command that we bring."""
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    assert f"## `rtvi {command}" in page
    options = set(re.findall(r"--[a-z][a-z-]+", help_of(command))) - {"--help", "--traceback"}
    assert [option for option in sorted(options) if option not in page] == []


def test_the_commands_are_those_that_there_are() -> None:
    """A command that is added is documented."""
    done = subprocess.run([sys.executable, "-m", "rtvi_plugins", "--help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^ {2,4}([a-z]+) {2,}[a-z]", done.stdout, re.MULTILINE)
    assert sorted(set(listed)) == ["call", "console", "describe", "plugins", "run"]


# ---- messages ------------------------------------------------------------------------------------------------------


def is_like(found: Any, shown: Any) -> bool:
    """Whether a value is what a page shows, where "…" stands for anything, and ["…"] for any array."""
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        mine, theirs = cast("dict[str, Any]", found), cast("dict[str, Any]", shown)
        return mine.keys() == theirs.keys() and all(is_like(mine[name], each) for name, each in theirs.items())
    if isinstance(shown, list) and isinstance(found, list):
        items, wanted = cast("list[Any]", found), cast("list[Any]", shown)
        return wanted == ["…"] or (len(items) == len(wanted) and all(map(is_like, items, wanted)))
    return bool(found == shown)


@pytest.fixture
def receptionist(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The receptionist's module, afresh."""
    spec = importlib.util.spec_from_file_location("bot_of_the_docs", DOCS / "examples" / "receptionist" / "bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bot_of_the_docs", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.anyio
@of("json")
async def test_a_message_is_answered_as_shown(block: Block, receptionist: ModuleType) -> None:
    """The first line is sent, the second is the answer."""
    asked, answer = map(json.loads, block.text.splitlines())
    _, version = block.comment.split()
    async with host_for(receptionist.receptionist) as host:
        started = await host.start(
            {"defaults": {"llm": {"run_on_config": False}}}, secret="the operator's secret of a test"
        )
        stream = ConnectionStream(host.claim(started.token))
        if asked["type"] != "client-ready":
            await stream.send(
                json.dumps({"label": "rtvi-ai", "id": "0", "type": "client-ready", "data": {"version": version}})
            )
        await stream.send(json.dumps({"label": "rtvi-ai", "id": "1", **asked}))
        while (found := json.loads(await stream.receive())).get("id") != "1":
            pass
        assert is_like({"type": found["type"], "data": found["data"]}, answer), found


# ---- the reference -------------------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date() -> None:
    """`python docs/generate.py` would change nothing."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = {path.name: path.read_text("utf-8") for path in DOCS.glob("reference/*.md")}
    assert [name for name, text in pages.items() if module.generated(text) != text] == []


def mentioned(name: str) -> bool:
    """Whether the reference speaks of something, in code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])[^`\n]*`", REFERENCE) is not None


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("public name", rtvi_plugins.__all__),
        ("public name of errors", errors.__all__),
        ("public name of client", client.__all__),
        ("public name of hosting", hosting.__all__),
        ("public name of kinds", kinds.__all__),
        ("public name of testing", testing.__all__),
        ("event", [each for each in events.__all__ if each not in ("Event", "spell")]),
        ("hook", hookspecs.HOOKS),
        ("error code", errors.CATALOGUE),
        ("message type", _READERS),
    ],
)
def test_the_reference_leaves_nothing_out(what: str, names: Sequence[str]) -> None:
    """Whatever is public is there to be looked up."""
    unexplained = ("clip", "is_array", "is_object", "nearest", "report", "unknown", "where", "innermost", "kind_of")
    assert [name for name in names if name not in unexplained and not mentioned(name)] == [], what


def test_every_spelling_of_an_event_is_in_the_reference() -> None:
    """Of every generation."""
    told: list[events.Event] = [
        events.UserTranscription("", "", typed=False),
        events.UserTranscription("", "", typed=True),
        events.BotLLMStarted(),
        events.BotLLMText(""),
        events.BotLLMStopped(),
        events.BotOutput("", 1),
        events.Interrupted(),
        events.FunctionCallStarted("", "", {}),
        events.FunctionCallEnded("", "", cancelled=True),
        events.Metrics("llm", ttfb=1.0),
    ]
    versions = [(0, 3, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 1, 0)]
    assert {type(event) for event in told} == set(events._SPELLINGS)  # pyright: ignore[reportPrivateUsage]
    spelled = {type for event in told for version in versions for type, _ in spell(event, version)}
    assert [type for type in sorted(spelled) if not mentioned(type)] == []


def test_types_are_as_the_table_says() -> None:
    """Each row is read again."""
    page = (DOCS / "reference" / "types.md").read_text("utf-8")
    table = page.partition("<!-- types -->\n")[2].strip().partition("\n\n")[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]
    names: dict[str, Any] = {"Literal": Literal, "Any": Any, "Sequence": Sequence, "Mapping": Mapping}
    for annotation, word, schema in rows:
        shape = read(eval(annotation.strip("`").replace("\\|", "|"), names))
        assert (shape.word, shape.schema) == (word, json.loads(schema.strip("`"))), annotation
    assert len(rows) > 10


# ---- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they are linked to."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and headings too."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_page_is_of_one_of_the_four_kinds() -> None:
    """A page elsewhere would not be looked at."""
    pages = {path for path in DOCS.glob("**/*.md") if not path.is_relative_to(DOCS / "examples")}
    assert pages - set(PAGES) == set()


def test_every_page_is_linked_from_the_index() -> None:
    """A page that nobody finds is not read."""
    index = (DOCS / "index.md").read_text("utf-8")
    pages = [
        path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS) and path.name != "index.md"
    ]
    assert [page for page in pages if f"({page})" not in index] == []
