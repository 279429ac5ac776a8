"""A million faults over real sockets: server processes with a bot that fails, and client processes that count answers.

    python -m tests.faults.run FAULTS [SEED]

Two server processes share a store. One after the other is replaced: by SIGTERM in mid-call, or by SIGKILL.
Each effect of an action is a line in the server's journal, which is compared with what the clients were answered.
"""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ..tools.patience import PATIENCE
from ..tools.processes import environment
from .client import IN_FLIGHT
from .requests import KINDS

__all__ = ("Outcome", "run_faults")

_ROOT: Final = Path(__file__).parents[2]
_BOT: Final = Path(__file__).with_name("bot.py")
_CLIENTS: Final = 2
#: How long sessions may go on in a process that was told to end, in seconds.
_DRAIN: Final = 1
#: Lines of a server's log that must not be there.
_BAD_LOG: Final = re.compile(r"the framework|a session raised|Traceback|never awaited|could not be removed")
_UNSAVED: Final = re.compile(r"session (\S+) is not saved at present")


@define
class Outcome:
    """The results of a run."""

    seconds: float = 0.0
    sessions: int = 0
    slowest: float = 0.0
    sent: Counter[str] = field(factory=Counter[str])
    answered: Counter[str] = field(factory=Counter[str])
    codes: Counter[str] = field(factory=Counter[str])
    #: What must not happen: how often, and examples.
    wrong: Counter[str] = field(factory=Counter[str])
    examples: list[str] = field(factory=list[str])
    effects: int = 0
    #: The sessions that went on without the store, because it did not answer in time. Nothing is promised to them.
    unsaved: set[str] = field(factory=set[str])

    @property
    def faults(self) -> int:
        """How many faults there were."""
        return sum(count for kind, count in self.sent.items() if kind not in KINDS or KINDS[kind].is_fault)

    @property
    def requests(self) -> int:
        """The number of sent requests that need an answer."""
        return sum(count for kind, count in self.sent.items() if kind in KINDS and kind != "bot fails")

    def table(self) -> str:
        """Return the counts of each kind, and everything that went wrong."""
        lines = [f"{'':40}{'sent':>10}{'answered':>10}"]
        kinds = sorted(self.sent, key=lambda each: (each not in KINDS, -self.sent[each]))
        lines += [f"{kind:40}{self.sent[kind]:>10,}{self._answered(kind):>10}" for kind in kinds]
        lines.append("")
        lines += [f"{code:40}{count:>10,}" for code, count in self.codes.most_common()]
        lines.append("")
        rate, answers = self.faults / self.seconds, self.answered.total()
        lines += [
            f"{self.faults:,} faults in {self.seconds:.0f} s: {rate:,.0f} per second. {self.sessions:,} sessions.",
            f"{self.requests:,} requests, {answers:,} answers, {self.effects:,} effects.",
            f"The slowest answer took {self.slowest:.1f} s. {len(self.unsaved)} sessions went on without the store.",
        ]
        lines += [f"WRONG {what}: {count:,}" for what, count in self.wrong.items()]
        lines += self.examples
        return "\n".join(lines)

    def _answered(self, kind: str) -> str:
        return f"{self.answered[kind]:,}" if kind in KINDS else ""

    def note_names(self, what: str, names: Iterable[str]) -> None:
        """Note effects that must not happen. Their names begin with the session."""
        self.note(what, [name for name in names if name.partition(".")[0] not in self.unsaved])

    def note(self, what: str, found: list[str]) -> None:
        """Note something that must not happen."""
        if found:
            self.wrong[what] += len(found)
            self.examples += [f"{what}: {each}" for each in found[:5]]


@define
class Server:
    """A server process."""

    process: subprocess.Popen[bytes]
    port: int


@define
class Servers:
    """The server processes, which are replaced one after the other."""

    folder: Path
    stack: ExitStack
    live: list[Server] = field(factory=list[Server])
    leaving: list[Server] = field(factory=list[Server])
    happened: Counter[str] = field(factory=Counter[str])
    replaced: int = 0
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))

    def start(self, count: int = 1) -> None:
        """Start processes, and tell their ports to the clients when they serve."""
        for process in [self._spawn() for _ in range(count)]:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            self.live.append(Server(process, int(line.partition("http://127.0.0.1:")[2].partition(" ")[0])))
        self._tell()

    def _spawn(self) -> subprocess.Popen[bytes]:
        number = next(self._numbers)
        limits = [
            *("rate=1e9", "burst=1000000000", f"in_flight={IN_FLIGHT}", "jobs=8", "threads=8"),
            *("unclaimed=1000", "unclaimed_per_address=1000"),
        ]
        command = [sys.executable, "-m", "rtvi_plugins", "run", str(_BOT), "--port", "0", "--log-level", "error"]
        command += ["--resume", str(self.folder / "sessions.db"), "--drain-seconds", str(_DRAIN)]
        command += ["--connections", "4000", "--connections-per-address", "2000"]
        command += [part for limit in limits for part in ("--limit", limit)]
        log = self.stack.enter_context((self.folder / f"log-{number}").open("w"))
        env = environment(JOURNAL=str(self.folder / f"journal-{number}"), PYTHONUNBUFFERED="1")
        process = subprocess.Popen(command, env=env, cwd=_ROOT, stdout=subprocess.PIPE, stderr=log)
        self.stack.callback(_end, process)
        return process

    def replace(self) -> None:
        """Start a process, and end the oldest one: mostly as a release does, every fourth time with a kill."""
        self.replaced += 1
        kills = self.replaced % 4 == 2
        if not kills:
            self.start()
        oldest = self.live.pop(0)
        if kills:
            oldest.process.kill()
            self.happened["process is killed"] += 1
        self._tell()
        if kills:
            self.start()
        else:
            oldest.process.send_signal(signal.SIGTERM)
            self.happened["process is drained"] += 1
        self.leaving.append(oldest)

    def _tell(self) -> None:
        new = self.folder / "ports.new"
        new.write_text(json.dumps([each.port for each in self.live]))
        new.rename(self.folder / "ports")

    def failed(self) -> list[str]:
        """Wait for the processes that got a signal. Return how each other process has ended."""
        for each in self.leaving:
            each.process.wait(PATIENCE)
        ends = [each.process.returncode for each in self.leaving]
        return [f"exit code {code}" for code in ends if code not in (0, -signal.SIGKILL)] + [
            f"a process has ended by itself, with {each.process.returncode}"
            for each in self.live
            if each.process.poll() is not None
        ]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(PATIENCE)
    assert process.stdout is not None
    process.stdout.close()


def run_faults(folder: Path, faults: int, *, seed: int = 1, sessions: int = 24, every: float = 10.0) -> Outcome:
    """Send at least this many faults. Replace a server process regularly, at least twice."""
    outcome = Outcome()
    with ExitStack() as stack:
        servers = Servers(folder, stack)
        servers.start(2)
        arguments = [str(seed), str(faults // _CLIENTS), str(sessions // _CLIENTS)]
        clients = [_client(stack, folder, str(number), *arguments) for number in range(_CLIENTS)]
        begun = time.monotonic()
        replaced = begun
        while any(each.poll() is None for each in clients):
            time.sleep(0.05)
            if time.monotonic() > replaced + every:
                servers.replace()
                replaced = time.monotonic()
                if servers.replaced == 2:
                    (folder / "enough").touch()
        outcome.seconds = time.monotonic() - begun
        outcome.unsaved = {found[1] for line in _lines(folder, "log-*") if (found := _UNSAVED.search(line))}
        for each in clients:
            _add(outcome, each)
        outcome.note("processes that fail", servers.failed())
        outcome.sent += servers.happened
    _compare(outcome, folder)
    return outcome


def _client(stack: ExitStack, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.client", str(folder), *arguments]
    env = environment(PYTHONPATH=str(_ROOT))
    process = subprocess.Popen(command, env=env, cwd=_ROOT, stdout=subprocess.PIPE)
    stack.callback(_end, process)
    return process


def _add(outcome: Outcome, client: subprocess.Popen[bytes]) -> None:
    assert client.stdout is not None
    found: Any = json.loads(client.stdout.read() or "{}")
    if client.wait(PATIENCE) or not found:
        outcome.note("clients that fail", [f"exit code {client.returncode}"])
        return
    for name in ("sent", "answered", "codes"):
        getattr(outcome, name).update(found[name])
    for session, what, more in found["wrong"]:
        if session not in outcome.unsaved:
            outcome.note(what, [f"{session} {more}"])
    outcome.sessions += found["sessions"]
    outcome.slowest = max(outcome.slowest, found["slowest"])


def _compare(outcome: Outcome, folder: Path) -> None:
    """Compare the journals with the answers, and check the logs."""
    effects = Counter(name for name in _lines(folder, "journal-*"))
    # A name with a "!" is that of a second message with the same id.
    executed = Counter[str]()
    for name, count in effects.items():
        executed[name.removesuffix("!")] += count
    outcome.effects = effects.total()
    outcome.note_names("requests executed twice", (name for name, count in executed.items() if count > 1))
    lost = (name for name in _lines(folder, "done-*") if not executed[name])
    outcome.note_names("effects acknowledged and lost", lost)
    refused = (name for name in _lines(folder, "refused-*") if executed[name])
    outcome.note_names("effects of refused requests", refused)
    outcome.note("lines in a log", [line for line in _lines(folder, "log-*") if _BAD_LOG.search(line)])


def _lines(folder: Path, pattern: str) -> Iterator[str]:
    for path in sorted(folder.glob(pattern)):
        with path.open() as file:
            yield from (line.rstrip("\n") for line in file)


def main() -> None:
    """Run, and print the table."""
    faults = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_faults(Path(folder), faults, seed=seed)
    print(outcome.table())  # noqa: T201 - it is what the command is for
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
