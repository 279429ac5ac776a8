"""Attack a server while a polite client uses it: `python bench/hostile/run.py [attack …]`. See bench/README.md.

For each attack, a separate server is started, then a polite client, then the attacker. With `--against DIR`, the same
is done to the server of another checkout, and the table shows both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attacks import ATTACKS, STAYING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: How long a polite client is alone before the attack, and how long it stays after it.
_BEFORE, _AFTER = 2.0, 1.0
#: How long a server may take to listen, and to end.
_WITHIN = 30.0
_FEW_DESCRIPTORS = 128
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Held:
    """What a server and its helpers hold."""

    megabytes: float = 0.0
    descriptors: int = 0
    processes: int = 0

    def at_least(self, other: Held) -> Held:
        return Held(*(max(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__))


@dataclass
class Result:
    """The effect of one attack on one server."""

    took: list[float]
    newcomers: list[float]
    failed: list[str]
    broken: str
    before: Held
    during: Held
    after: Held
    lines: int
    log: str = field(repr=False, default="")

    def quantile(self, share: float) -> float:
        """Milliseconds in which this share of the polite client's requests was answered."""
        ordered = sorted(self.took)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


# ---- a server ------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    port: int
    process: subprocess.Popen[str]
    log: Path


def _environment(checkout: Path) -> Mapping[str, str]:
    """Return the environment, in which the sources of a checkout come before what is installed."""
    sources = [checkout, *sorted(checkout.glob("plugins/*/src"))]
    private = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RTVI_"))}
    return {**private, "PYTHONPATH": os.pathsep.join(map(str, sources))}


def _python(checkout: Path) -> str:
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FEW_DESCRIPTORS, _FEW_DESCRIPTORS))


@contextmanager
def serving(checkout: Path, bot: str, *, few_descriptors: bool) -> Generator[Server]:
    """A server of a checkout, with its log in a file."""
    command = [_python(checkout), "-m", "rtvi_plugins", "run", f"{HERE / 'bot.py'}:{bot}", "--port", "0"]
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as errors:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=dict(_environment(checkout)),
                preexec_fn=_few_descriptors if few_descriptors else None,
            )
            try:
                yield Server(_port(process, log), process, log)
            finally:
                process.terminate()
                try:
                    process.wait(_WITHIN)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _port(process: subprocess.Popen[str], log: Path) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")


def held(pid: int) -> Held:
    """What a process and all its helpers hold now."""
    found = Held()
    for each in _family(pid):
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            descriptors = len([*Path(f"/proc/{each}/fd").iterdir()])
        except (OSError, IndexError):  # it has ended since it was listed
            continue
        found.megabytes += pages * _PAGE / 1e6
        found.descriptors += descriptors if each == pid else 0
        found.processes += 1
    return found


def _family(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    family = [pid]
    for each in family:
        family += [child for child, parent in parents.items() if parent == each]
    return family


# ---- one attack ----------------------------------------------------------------------------------------------------


def measure(checkout: Path, attack: str, *, seconds: float, release: float) -> Result:
    """Attack a new server. Measure it before, during and `release` seconds after the attack."""
    bot, action = ("listener", "say_back") if attack == "speech" else ("desk", "echo")
    with serving(checkout, bot, few_descriptors=attack == "descriptors") as server:
        pid = server.process.pid
        stays = _BEFORE + seconds + _AFTER
        polite = _python_script("polite.py", str(server.port), str(stays), action, capture=True)
        time.sleep(_BEFORE)
        before = during = held(pid)
        lasts = seconds + release + _AFTER + 5 if attack in STAYING else seconds
        attacker = _python_script("attacks.py", attack, str(server.port), str(lasts))
        try:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                during = during.at_least(held(pid))
                time.sleep(0.25)
            told, _ = polite.communicate(timeout=stays + 60)
            time.sleep(release)
            after = held(pid)
        finally:
            for process in (attacker, polite):
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
        log = server.log.read_text()
    nothing: dict[str, Any] = {"took": [], "newcomers": [], "failed": [], "broken": "the polite client failed"}
    found: dict[str, Any] = json.loads(told) if told.strip() else nothing
    return Result(**found, before=before, during=during, after=after, lines=log.count("\n"), log=log)


def _python_script(name: str, *words: str, capture: bool = False) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE if capture else subprocess.DEVNULL
    command = [sys.executable, str(HERE / name), *words]
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


# ---- the table -----------------------------------------------------------------------------------------------------

_HEAD = (
    "attack",
    "server",
    "polite p50",
    "p95",
    "max ms",
    "newcomers",
    "slowest ms",
    "RSS MB before/during/after",
    "descriptors",
    "processes",
    "log lines",
)


def row(attack: str, server: str, result: Result) -> tuple[str, ...]:
    stages = (result.before, result.during, result.after)
    came = len(result.newcomers)
    return (
        attack,
        server,
        f"{result.quantile(0.5):.1f}",
        f"{result.quantile(0.95):.1f}",
        "cut off" if result.broken else f"{result.quantile(1.0):.0f}",
        f"{came}/{came + len(result.failed)}",
        f"{1000 * max(result.newcomers, default=0):.0f}",
        " / ".join(f"{each.megabytes:.0f}" for each in stages),
        " / ".join(str(each.descriptors) for each in stages),
        " / ".join(str(each.processes) for each in stages),
        str(result.lines),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def main() -> int:
    parser = argparse.ArgumentParser(description="Attack a server while a polite client uses it.")
    parser.add_argument("attacks", nargs="*", metavar="attack", help=f"of {', '.join(ATTACKS)}; all if none is named")
    parser.add_argument("--against", metavar="DIR", type=Path, help="a checkout whose server is attacked as well")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each attack lasts (%(default)s)")
    parser.add_argument(
        "--release", type=float, default=60.0, help="how long after it the server is looked at again (%(default)s)"
    )
    parser.add_argument("--logs", action="store_true", help="print the end of each server's log")
    chosen = parser.parse_args()
    if unknown := set(chosen.attacks) - set(ATTACKS):
        parser.error(f"there is no attack {', '.join(sorted(unknown))}; there is {', '.join(ATTACKS)}")
    checkouts = {"before": chosen.against.resolve()} if chosen.against else {}
    checkouts["now"] = ROOT
    rows: list[Sequence[str]] = [_HEAD]
    for attack in chosen.attacks or ATTACKS:
        for name, checkout in checkouts.items():
            result = measure(checkout, attack, seconds=chosen.seconds, release=chosen.release)
            rows.append(row(attack, name, result))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
            for text in (result.broken, *sorted(set(result.failed))[:3]):
                if text:
                    print(f"    polite client: {text}", file=sys.stderr)
            if chosen.logs:
                print("".join(f"    | {line}\n" for line in result.log.splitlines()[-12:]), file=sys.stderr)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
