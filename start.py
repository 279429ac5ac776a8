"""The two commands of this checkout, for a machine that has Python 3.11 or newer and nothing else.

    python3 start.py          start the receptionist, to be talked to on a page in your browser: offline, without a key;
                              takes the options of `rtvi run`, as in --port 7861
    python3 start.py test     run every check and every test (needs Node.js with npm, Chromium, flite, espeak-ng,
                              nginx and systemd-analyze)

Both make `.venv` in this folder, install what they need into it, and change nothing outside the folder. Run again,
they use what is there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
BOT = "docs/examples/receptionist/bot.py"
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
TESTED = ("3.11", "3.12", "3.13")
CHECKS = ("lint", "typing", "docs")
#: Tests of speech in real time: they are timed, so nothing may run beside them.
REAL_TIME = ("tests/lossy", "tests/browser", "docs/examples/evaluation")
#: What the tests speak with, listen with, look with and deploy with, besides Python.
TEST_PROGRAMS = ("node", "npm", "chromium", "flite", "espeak-ng", "nginx", "systemd-analyze")
#: Debian has nginx where only root looks for programs.
PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
DEBIAN_PACKAGES = "nodejs npm chromium flite espeak-ng nginx-light systemd"


def main(arguments: list[str]) -> int:
    """Do what the command line asks for, and return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may well start this with an older one
        sys.exit(f"This needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    os.chdir(ROOT)
    if arguments == ["test"]:
        return test()
    if not arguments or (arguments[0].startswith("--") and arguments != ["--help"]):
        return talk(arguments)
    print(__doc__)
    return 0 if arguments in (["-h"], ["--help"]) else 2


def talk(options: list[str]) -> int:
    """Serve the bot and the page from which it is talked to."""
    install("-e", ".", *(part for name in PLUGINS for part in ("-e", f"./plugins/{name}")))
    rtvi = BIN.relative_to(ROOT) / "rtvi"
    print(f"To type to it in a terminal, say in {ROOT}: {rtvi} console {BOT}", flush=True)
    command = [str(rtvi), "run", BOT, "--dev", "--plugin", "webrtc", *options]
    if sys.platform == "win32":
        return run(*command)
    os.execv(command[0], command)  # signals to this process are then signals to the server


def test() -> int:
    """Run every test on this Python and, beside them, the checks and the core's tests on the other Pythons."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version not in TESTED:
        sys.exit(f"The tests run on Python {', '.join(TESTED)}; this is {version}. Say e.g. python3.11 start.py test")
    if missing := [name for name in TEST_PROGRAMS if not shutil.which(name, path=PROGRAM_PATH)]:
        sys.exit(f"The tests need {', '.join(missing)}. On Debian: apt-get install {DEBIAN_PACKAGES}")
    install("nox>=2025.2")
    tests = f"tests-{version}"
    if code := run(BIN / "nox", "--install-only", "-s", tests):
        return code
    # Not through nox: the last line of all is then pytest's own.
    program = ROOT / f".nox/{tests.replace('.', '-')}" / BIN.name / "pytest"
    pytest = [str(program), "-c", "pyproject.toml", "--no-skips"]
    # Most tests wait for other processes, so two at a time are faster also beside the checks. A file's share servers.
    at_once = ["--numprocesses=2", "--dist=loadfile"]
    with checks(*CHECKS, *(f"core-{each}" for each in TESTED if each != version)) as others:
        if code := run(*pytest, *at_once, *(f"--ignore={each}" for each in REAL_TIME)) or others():
            return code
    return run(*pytest, *REAL_TIME)


@contextmanager
def checks(*sessions: str) -> Generator[Callable[[], int]]:
    """Run sessions of nox beside the tests. The function waits for them, prints what they wrote, returns the code."""
    with tempfile.TemporaryFile("w+") as output:
        command = [str(BIN / "nox"), "--stop-on-first-error", "-s", *sessions]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

        def finished() -> int:
            code = process.wait()
            output.seek(0)
            print(output.read(), flush=True)
            return code

        try:
            yield finished
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def install(*what: str) -> None:
    """Install into the virtual environment, once for every state of the projects' metadata."""
    make_venv()
    metadata = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in metadata)).hexdigest()
    stamp = VENV / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}.installed"
    if stamp.is_file() and stamp.read_text() == state:
        return
    print("Installing into .venv; this takes a minute the first time.", flush=True)
    if not finish(BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what):
        sys.exit("pip could not install; what it said is above. Is the network reachable?")
    stamp.write_text(state)


def make_venv() -> None:
    """Make the virtual environment, afresh if this script made it for another Python or elsewhere."""
    maker, made_by = f"{VENV} {sys.base_prefix} {sys.version}", VENV / "made-by"
    if not BIN.exists() or (made_by.is_file() and made_by.read_text() != maker):
        made = False
        try:
            made = finish(sys.executable, "-m", "venv", "--clear", VENV)
        finally:
            if not made:  # half of one would be taken for a whole one the next time
                shutil.rmtree(VENV, ignore_errors=True)
        if not made:
            sys.exit("No virtual environment could be made. On Debian: apt-get install python3-venv")
        made_by.write_text(maker)


def finish(*command: str | Path) -> bool:
    """Whether a step of the installation went well. An interrupt ends it, without a word from it."""
    with subprocess.Popen([str(part) for part in command], start_new_session=True) as process:
        try:
            return process.wait() == 0
        except KeyboardInterrupt:
            if sys.platform != "win32":  # where it has got the interrupt itself
                os.killpg(process.pid, signal.SIGTERM)
            raise


def run(*command: str | Path) -> int:
    """Run a command in this terminal and return its exit code; an interrupt is the command's to answer."""
    with subprocess.Popen([str(part) for part in command]) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
