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
from collections.abc import Callable, Generator, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

from attrs import define, field
from watchfiles import Change, DefaultFilter, watch

from rtvi_plugins.cli import OK

from ._again import run_again

__all__ = ("Report", "end_with_parent", "reporting", "supervise")

#: Set in the child: the file for its report.
REPORT_VARIABLE: Final = "RTVI_RELOAD_REPORT"
#: The files that count while a bot cannot be loaded: one of them has the mistake.
_SUFFIXES: Final = (".py", ".toml")
#: Milliseconds that editors get to write all their files.
_SETTLE: Final = 200


# ---- the child -----------------------------------------------------------------------------------------------------


@define
class Report:
    """What the watching process knows of its child. It is written to a file."""

    path: Path
    files: list[str] = field(factory=list[str])
    port: int | None = None

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


def reporting(environ: MutableMapping[str, str]) -> Report | None:
    """Return the report that this process must write; None if no other watches it. Its own children have none."""
    path = environ.pop(REPORT_VARIABLE, None)
    return Report(Path(path)) if path else None


def end_with_parent(end: Callable[[], None]) -> None:
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
    """Return the folders with the files of a bot: that of its file, or those of its package."""
    if (file := _file_of(bot)) is not None:
        return [file.parent]
    top = bot.partition(":")[0].partition(".")[0]
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    spec = find_spec(top)
    if spec is None:
        return []
    folders = [Path(each) for each in spec.submodule_search_locations or ()]
    return [each.resolve() for each in folders or [Path(str(spec.origin)).parent]]


# ---- the watching process ------------------------------------------------------------------------------------------


def supervise(argv: Sequence[str], bot: str) -> int:
    """Run `rtvi run` with these words in a child, again after each change, and return its exit code."""
    command = run_again(argv)
    with TemporaryDirectory(prefix="rtvi-") as folder:
        return _Supervisor(command, bot, Path(folder, "report.json")).run()


@define(eq=False)
class _Supervisor:
    command: Sequence[str]
    bot: str
    report: Path
    _child: subprocess.Popen[bytes] | None = None
    _changed: threading.Event = field(factory=threading.Event)
    #: Whether this process has received a signal to end.
    _ending: bool = False

    def run(self) -> int:
        """Serve until a signal ends it."""
        with self._signals(), self._watching():
            code = self._serve()
            while self._changed.is_set() and not self._ending:
                sys.stderr.write("The bot's files have changed. Restarting.\n")
                self._changed.clear()
                code = self._serve()
                if code != OK and not self._changed.is_set() and not self._ending:
                    sys.stderr.write("Waiting until the bot's files change.\n")
                    self._changed.wait()
            return OK if self._ending else code

    def _serve(self) -> int:
        """Run one child until it ends, and return its exit code."""
        port = Report.read(self.report).port
        self.report.unlink(missing_ok=True)
        options = [] if port is None else ["--port", str(port)]  # the last one counts
        isolated = sys.platform != "win32"  # else Ctrl-C would reach the child twice
        with subprocess.Popen(
            [*self.command, *options],
            stdin=subprocess.PIPE,
            env=os.environ | {REPORT_VARIABLE: str(self.report)},
            start_new_session=isolated,
        ) as self._child:
            code = self._child.wait()
        if port is not None and not self.report.exists():
            Report(self.report).serving(port)  # the child could not be loaded; the next one has the port
        return code

    # ---- changes -------------------------------------------------------------------------------------------------

    @contextmanager
    def _watching(self) -> Generator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), name="watch")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, stop: threading.Event) -> None:
        roots = [root for root in roots_of(self.bot) if root.is_dir()]
        if not roots:
            return
        files = _Sources(ignore_paths=[])
        for changes in watch(*roots, watch_filter=files, stop_event=stop, debounce=_SETTLE, raise_interrupt=False):
            if self._concern(path for _, path in changes):
                self._restart()

    def _concern(self, changed: Iterator[str]) -> bool:
        known = Report.read(self.report).files
        return any(not known or str(Path(path).resolve()) in known for path in changed)

    def _restart(self) -> None:
        """Let the child end its sessions. If it has ended because of a mistake, start another."""
        self._changed.set()
        child = self._child
        if child is not None and child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()

    # ---- signals ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self._pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._ending = True
        self._changed.set()  # for one that waits for a change
        if self._child is not None and self._child.poll() is None and sys.platform != "win32":
            self._child.send_signal(number)


class _Sources(DefaultFilter):
    """Ignores folders of environments and caches, and all files but sources."""

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(_SUFFIXES) and super().__call__(change, path)
