"""The terminal sessions and messages in the documentation are what really happens."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, cast
from zipfile import ZipFile

import pytest
from attrs import frozen

from rtvi_plugins.hosting import Host
from rtvi_plugins.testing import ConnectionStream, host_for

from ..tools.every import check_each
from ..tools.pages import BLOCKS, COMMANDS, DOCS, ROOT, RUN, Block, of

# ---- commands ------------------------------------------------------------------------------------------------------


@frozen
class Place:
    """Where a transcript is run: `run in FOLDER with A as B against BOT`, or `run … with FOLDER installed`.

    It is run in a copy of the folder, but for "." in the checkout itself.
    """

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
    home = ROOT if place.folder == "." else work / "home"
    environment = {**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    home.mkdir(exist_ok=True)
    if place.folder not in (None, "."):
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
    site = work / "site"
    with ZipFile(BytesIO(_wheel(folder))) as wheel:
        wheel.extractall(site)
    return site


@cache
def _wheel(folder: Path) -> bytes:
    with TemporaryDirectory() as work:
        source, dist = Path(work, "source"), Path(work, "dist")
        shutil.copytree(folder, source)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return next(dist.glob("*.whl")).read_bytes()


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
    """Each command of a transcript, with its typed input and its output."""
    for part in re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        typed = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
        printed = [line for line in lines if not line.startswith("> ")]
        yield command, "".join(f"{line}\n" for line in typed), "\n".join(printed)


def matches(printed: str, expected: str) -> bool:
    """Whether a text was printed. "…" matches a part of a line; alone in a line, it matches any lines."""
    lines = [re.escape(line).replace("…", ".*") for line in expected.splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == ".*" else f"{line} *\n" for line in lines)
    return re.fullmatch(pattern, printed) is not None


@of(*RUN)
def test_a_transcript_is_what_happens(block: Block, tmp_path: Path) -> None:
    """The commands are run, and their output is compared."""
    with prepared(Place.read(block.comment), tmp_path) as (home, environment, address):
        for command, typed, expected in steps(block.text):
            program, *words = shlex.split(command.replace("http://127.0.0.1:7860", address))
            start = {"rtvi": [sys.executable, "-m", "rtvi_plugins"], "python": [sys.executable]}[Path(program).name]
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
    """The help text of a command of `rtvi`."""
    done = subprocess.run(
        [sys.executable, "-m", "rtvi_plugins", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_have_the_options_that_are_shown() -> None:
    """Commands that are not run are compared with their help."""
    check_each([block for block in BLOCKS if block.language in (*COMMANDS, *RUN)], check_options)


def check_options(block: Block) -> None:
    """Check that the help of each command has its options."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "))
        if words and Path(words[0]).name == "rtvi" and not words[1].startswith("-"):
            for option in (word for word in words if word.startswith("--")):
                assert option in help_of(words[1]), line


def test_the_reference_names_every_option() -> None:
    """This is true for every command in this repository."""
    check_each(["plugins", "describe", "console", "run", "call", "sessions"], check_reference)


def check_reference(command: str) -> None:
    """Check that the reference has each option of a command."""
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    assert f"## `rtvi {command}" in page
    options = set(re.findall(r"--[a-z][a-z-]+", help_of(command))) - {"--help", "--traceback"}
    assert [option for option in sorted(options) if option not in page] == []


def test_the_commands_are_those_that_there_are() -> None:
    """A new command needs documentation."""
    done = subprocess.run([sys.executable, "-m", "rtvi_plugins", "--help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^ {2,4}([a-z]+) {2,}[a-z]", done.stdout, re.MULTILINE)
    commands = "call check console describe doctor keys new plugins run schema sessions top".split()
    assert sorted(set(listed)) == commands


# ---- messages ------------------------------------------------------------------------------------------------------


def is_like(found: Any, shown: Any) -> bool:
    """Whether a value is what a page shows. "…" matches anything, and ["…"] any array."""
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        mine, theirs = cast("dict[str, Any]", found), cast("dict[str, Any]", shown)
        return mine.keys() == theirs.keys() and all(is_like(mine[name], each) for name, each in theirs.items())
    if isinstance(shown, list) and isinstance(found, list):
        items, wanted = cast("list[Any]", found), cast("list[Any]", shown)
        return wanted == ["…"] or (len(items) == len(wanted) and all(map(is_like, items, wanted)))
    return bool(found == shown)


@pytest.fixture(scope="module")
def receptionist() -> Generator[ModuleType]:
    """The receptionist's module, imported again."""
    spec = importlib.util.spec_from_file_location("bot_of_the_docs", DOCS / "examples" / "receptionist" / "bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS / "examples" / "receptionist"), *sys.path])  # it imports its neighbour
        patch.setitem(sys.modules, "bot_of_the_docs", module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
async def host(receptionist: ModuleType) -> AsyncGenerator[Host]:
    """A host of the receptionist for all blocks, because its processes start slowly."""
    async with host_for(receptionist.receptionist) as opened:
        yield opened


@pytest.mark.anyio
@of("json")
async def test_a_message_is_answered_as_shown(
    block: Block, host: Host, receptionist: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line is sent, the second is the answer. No room is taken before."""
    monkeypatch.setattr(receptionist, "free_rooms", [*range(1, 13)])
    asked, answer = map(json.loads, block.text.splitlines())
    _, version = block.comment.split()
    started = await host.start({"defaults": {"llm": {"run_on_config": False}}}, secret="secret-of-a-test-operator")
    stream = ConnectionStream(host.claim(started.token))
    if asked["type"] != "client-ready":
        await stream.send(
            json.dumps({"label": "rtvi-ai", "id": "0", "type": "client-ready", "data": {"version": version}})
        )
    await stream.send(json.dumps({"label": "rtvi-ai", "id": "1", **asked}))
    while (found := json.loads(await stream.receive())).get("id") != "1":
        pass
    assert is_like({"type": found["type"], "data": found["data"]}, answer), found
