"""Start the server again when the bot's files change: one process watches, and its child serves.

The child reports its files and its port in a JSON file. It ends when its standard input does. So it also ends if the
watching process dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import define, field
from watchfiles import Change, DefaultFilter, watch

from rtvi_plugins.cli import OK

__all__ = ("Report", "roots_of", "supervise")

#: Set in the child: the file for its report.
REPORT_VARIABLE: Final = "RTVI_RELOAD_REPORT"
#: The files that count while a bot cannot be loaded: one of them has the mistake.
_SUFFIXES: Final = (".py", ".toml")
#: Milliseconds that editors get to write all their files.
_SETTLE: Final = 200
#: How often to look whether the child has ended, in milliseconds.
_POLL: Final = 200


# ---- the child -----------------------------------------------------------------------------------------------------


@define
class Report:
    """What the watching process knows of its child. It is written to a file."""

    path: Path
    files: list[str] = field(factory=list[str])
    port: int | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Report | None:
        """Return the report that this process must write; None if no other watches it. Its own children have none."""
        path = environ.pop(REPORT_VARIABLE, None)
        return cls(Path(path)) if path else None

    @classmethod
    def read(cls, path: Path) -> Report:
        """Return the report in a file; an empty one if there is none."""
        if not path.exists():
            return cls(path)
        written = json.loads(path.read_text("utf-8"))
        return cls(path, written["files"], written["port"])

    def loaded(self, bot: str) -> None:
        """Note the files of a bot that was loaded: its own, and the modules of its folder that were imported."""
        roots = tuple(map(str, roots_of(bot)))
        found = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        own = {str(Path(file).resolve()) for file in found if isinstance(file, str)}
        self.files = sorted(each for each in own if each.startswith(roots))
        if (file := _file_of(bot)) is not None:
            self.files.append(str(file))
        self._write()

    def serving(self, port: int) -> None:
        """Note the port, which the next child uses too."""
        self.port = port
        self._write()

    def _write(self) -> None:
        whole = self.path.with_suffix(".new")
        whole.write_text(json.dumps({"files": self.files, "port": self.port}), "utf-8")
        whole.replace(self.path)

    def end_with_parent(self, end: Callable[[], None]) -> None:
        """Call `end` in a thread when the watching process closes the standard input, or dies."""

        def wait() -> None:
            with suppress(OSError):
                while os.read(0, 1024):
                    pass
            end()

        threading.Thread(target=wait, name="parent", daemon=True).start()


# ---- the files of a bot --------------------------------------------------------------------------------------------


def _file_of(bot: str) -> Path | None:
    """Return the file that a command line names; None for a module."""
    path = bot if bot.endswith(_SUFFIXES) else bot.rpartition(":")[0]
    return Path(path).resolve() if path.endswith(_SUFFIXES) else None


def roots_of(bot: str) -> list[Path]:
    """Return the folders with the files of a bot: that of its file, or those of its package. None if it is missing."""
    if (file := _file_of(bot)) is not None:
        return [file.parent] if file.parent.is_dir() else []
    top = bot.partition(":")[0].partition(".")[0]
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    spec = find_spec(top)
    if spec is None:
        return []
    folders = [Path(each) for each in spec.submodule_search_locations or ()]
    return [each.resolve() for each in folders or [Path(str(spec.origin)).parent]]


# ---- the watching process ------------------------------------------------------------------------------------------


def supervise(command: Sequence[str], roots: Sequence[Path]) -> int:
    """Run a command that serves in a child, again after each change below `roots`. Return its exit code."""
    with TemporaryDirectory(prefix="rtvi-") as folder:
        return _Supervisor(command, Path(folder, "report.json")).run(roots)


@define(eq=False)
class _Supervisor:
    command: Sequence[str]
    report: Path
    _child: subprocess.Popen[bytes] = field(init=False)
    _port: int | None = None
    #: The signals to end that this process has received, and not passed on; and whether there were any.
    _signals: list[int] = field(factory=list[int])
    _ending: bool = False

    def run(self, roots: Sequence[Path]) -> int:
        """Serve until a signal ends it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, frame: self._signals.append(received))
        all_changes = _changes(roots)
        next(all_changes)  # now it watches, so a change while the server starts is seen
        self._start()
        restarted = is_waiting = False
        for changes in all_changes:
            self._pass_on_signals()
            code = self._child.poll()
            if self._ending:
                if code is not None:
                    break
            elif self._concern(changes):
                sys.stderr.write("The bot's files have changed. Restarting.\n")
                self._stop()
                if not self._ending:
                    self._start()
                restarted, is_waiting = True, False
            elif code is not None and not is_waiting:
                if code == OK or not restarted:
                    return code
                sys.stderr.write("Waiting until the bot's files change.\n")
                is_waiting = True
        return OK

    def _start(self) -> None:
        options = [] if self._port is None else ["--port", str(self._port)]  # the last one counts
        self._child = subprocess.Popen(
            [*self.command, *options],
            stdin=subprocess.PIPE,
            env=os.environ | {REPORT_VARIABLE: str(self.report)},
            start_new_session=sys.platform != "win32",  # otherwise Ctrl-C would reach the child twice
        )

    def _stop(self) -> None:
        """Let the child end its sessions, and wait for it. The next one gets its port."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        while self._child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_POLL / 1000)
            self._pass_on_signals()  # a session may take long to end
        self._port = Report.read(self.report).port or self._port
        self.report.unlink(missing_ok=True)

    def _concern(self, changes: Iterable[tuple[Change, str]]) -> bool:
        known = Report.read(self.report).files
        return any(not known or str(Path(path).resolve()) in known for _, path in changes)

    def _pass_on_signals(self) -> None:
        """Send the child a SIGTERM for each signal. On a SIGINT, a child that is starting would write a traceback."""
        signals, self._signals = self._signals, []
        self._ending = self._ending or bool(signals)
        if sys.platform != "win32":
            for _ in signals:
                self._child.terminate()


def _changes(roots: Sequence[Path]) -> Iterator[set[tuple[Change, str]]]:
    """Yield the changes again and again, also if there are none."""
    try:
        yield from watch(
            *roots,
            watch_filter=_Sources(ignore_paths=[]),
            debounce=_SETTLE,
            rust_timeout=_POLL,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
    except (OSError, RuntimeError) as error:  # such as very many folders; the bot can be served all the same
        sys.stderr.write(f"The bot's files cannot be watched: {error}. Start it again yourself when they change.\n")
    while True:
        time.sleep(_POLL / 1000)
        yield set()


class _Sources(DefaultFilter):
    """Ignores folders of environments and caches, and all files but sources."""

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(_SUFFIXES) and super().__call__(change, path)
