"""`start.py` in a checkout whose environment contains scripts: what it starts, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeAlias

import pytest

from ..tools.patience import PATIENCE

ROOT = Path(__file__).parents[2]

Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def with_ctrl_c() -> Generator[None]:
    """Otherwise programs in the background would ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the script with words, in a checkout where `pip`, `rtvi` and `nox` are these lines of shell."""

    def begin(*words: str, pip: str = "", rtvi: str = 'echo "$$ $@"', nox: str = "") -> subprocess.Popen[str]:
        shutil.copy(ROOT / "start.py", tmp_path)
        (tmp_path / "pyproject.toml").touch()
        programs = tmp_path / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, lines in {"python": pip, "rtvi": rtvi, "nox": nox}.items():
            (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
            (programs / name).chmod(0o755)
        command = [sys.executable, str(tmp_path / "start.py"), *words]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "NOX_"))}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


def test_the_server_takes_the_scripts_options_and_signals(start: Start) -> None:
    """It is the same process, so a signal to the script ends the server. Before, it says how to type to the bot."""
    with start("--port", "7999") as process:
        out, err = process.communicate(timeout=PATIENCE)
    installing, *_, typed, server = out.splitlines()
    bot = "docs/examples/receptionist/bot.py"
    assert (process.returncode, err, installing[:24]) == (0, "", "Installing what the bot ")
    assert typed.endswith(f".venv/bin/rtvi console {bot}")
    assert server == f"{process.pid} run {bot} --dev --port 7999"


@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("tests", 2)])
def test_words_that_are_none_are_answered_by_the_help(start: Start, word: str, code: int) -> None:
    """This is done before anything is installed."""
    with start(word) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out.startswith("The two commands")) == (code, True)


@pytest.mark.usefixtures("with_ctrl_c")
def test_ctrl_c_ends_an_installation_quietly(start: Start) -> None:
    """The user has ended it, so no network failure is reported."""
    with start(pip="echo begun; sleep 5") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][1] == "  3 s: begun\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")


def test_an_installation_that_fails_is_told(start: Start) -> None:
    """The possible reasons are printed."""
    with start(pip="exit 1") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.startswith("pip could not install")) == (1, True)


#: Lines of shell that are `python -m pip`: what it is configured with.
PIP = """
test "$4" = config || exit 0
cat <<"."
:env:.find-links='/wheels /more'
global.extra-index-url='https://old.example'
global.find-links='/other'
global.index-url='https://index.example/simple'
install.extra-index-url='https://one.example https://two.example'
wheel.timeout='3'
."""
#: And those that are `nox`: it cannot install with uv, and makes a pytest that succeeds.
NOX = """
echo "nox $@, $UV_INDEX, $UV_DEFAULT_INDEX, $UV_FIND_LINKS, $UV_INDEX_STRATEGY, $UV_HTTP_TIMEOUT" >> log
test "$NOX_DEFAULT_VENV_BACKEND" = virtualenv || exit 1
test "$1" = --install-only || exit 0
mkdir -p .nox/tests-{version}/bin
printf '#!/bin/sh\\necho tested' > .nox/tests-{version}/bin/pytest
chmod +x .nox/tests-{version}/bin/pytest
"""


def test_environments_come_from_the_indexes_of_pip_and_are_made_by_pip_if_uv_cannot(
    start: Start, tmp_path: Path
) -> None:
    """What decides where packages come from is passed on: uv reads no configuration of pip."""
    (tmp_path / ".nox/left-by-uv").mkdir(parents=True)
    nox = NOX.format(version=f"{sys.version_info[0]}-{sys.version_info[1]}")
    with start("test", pip=PIP, nox=nox) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err, out.splitlines()[-1]) == (0, "", "tested"), out
    assert "trying the same without uv" in out
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    settings = (
        "https://one.example https://two.example, https://index.example/simple, /wheels,/more, unsafe-best-match, "
    )
    first, second, *others = [line.partition(", ") for line in (tmp_path / "log").read_text().splitlines()]
    assert first == second == (f"nox --install-only -s tests-{python}", ", ", settings)
    others_pythons = sorted({"core-3.11", "core-3.12", "core-3.13"} - {f"core-{python}"})
    assert sorted(sessions.partition(" -s ")[2] for sessions, *_ in others) == [
        *others_pythons,
        "lint docs livekit",
        "typing",
    ]
    assert not (tmp_path / ".nox/left-by-uv").exists()
