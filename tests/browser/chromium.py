"""Headless Chromium, driven through Node. Its microphone speaks on command, and what it plays is recorded."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Thread
from typing import IO, Any

from attrs import define, field, frozen

from .sound import Played, Tape

__all__ = ("Browser", "Page", "Spoken", "browsing")

DRIVE = Path(__file__).parent / "driver" / "drive.js"
ANSWERED_WITHIN = 90.0  # seconds; everything that is waited for in a page has a shorter time of its own
ENDED_WITHIN = 20.0


@frozen
class Spoken:
    """When an utterance began and ended, in milliseconds of the page's own clock."""

    began: float
    ended: float


@define(eq=False)
class Browser:
    """A browser, and the address of its page with the published clients. Several threads may use it at once."""

    pages: str
    _stdin: IO[str]
    _ids: count[int] = field(factory=lambda: count(1))
    _waiting: dict[int, Future[Any]] = field(factory=dict[int, "Future[Any]"])

    def open(self, url: str, **options: Any) -> Page:
        """Open an address, with an empty profile. The options are those of Playwright's `newContext`, or `size`."""
        return Page(self, self.execute("open", url=url, **options))

    def execute(self, name: str, **values: Any) -> Any:
        """Make the driver run an operation, and return the result. `RuntimeError` has the reason of a failure."""
        number, outcome = next(self._ids), Future[Any]()
        self._waiting[number] = outcome
        self._stdin.write(json.dumps({"id": number, "do": name, **values}) + "\n")
        self._stdin.flush()
        return outcome.result(ANSWERED_WITHIN)

    def take(self, lines: IO[str]) -> None:
        """Pass each outcome to the thread that waits for it, until the driver has ended."""
        for line in lines:
            reply = json.loads(line)
            outcome = self._waiting.pop(reply["id"])
            if "error" in reply:
                outcome.set_exception(RuntimeError(reply["error"]))
            else:
                outcome.set_result(reply["result"])
        for outcome in self._waiting.values():
            outcome.set_exception(RuntimeError("the driver of the browser has ended"))


@frozen
class Page:
    """One page, in a browser context of its own."""

    browser: Browser
    number: int

    def call(self, name: str, *values: Any) -> Any:
        """Call a function of the page, as in `"microphone.speak"`, and wait for its promise."""
        return self._do("call", path=name, values=values)

    def element(self, selector: str, method: str, *values: Any) -> Any:
        """Call a method of Playwright's Locator on an element."""
        return self._do("element", selector=selector, method=method, values=values)

    def now(self) -> float:
        """Return the time of the page's own clock, in milliseconds."""
        return float(self.call("performance.now"))

    def speak(self, speech: bytes) -> Spoken:
        """Play a WAV file into the microphone, and wait for its end."""
        return Spoken(**self.call("microphone.speak", base64.b64encode(speech).decode()))

    def played(self, since: float) -> Played:
        """Return what the page has played since a time of its clock."""
        return Played([Tape.of(each) for each in self.call("ear.since", since)])

    def until_heard(self, since: float, milliseconds: float = 0, *, seconds: float = 20) -> float:
        """Wait until something was heard since then, and so long ago. Return when. `RuntimeError` after `seconds`."""
        return float(self.call("ear.sound", since, milliseconds, seconds))

    def until_silent(self, milliseconds: float = 400) -> float:
        """Wait until there was silence for this long."""
        return float(self.call("ear.silent", milliseconds))

    def run(self, module: str) -> Sequence[Sequence[Any]]:
        """Run a JavaScript module in the page, with the published client. Return what it prints, a list for a line."""
        printed: list[list[Any]] = self._do("run", source=module)
        return printed

    def download(self, selector: str) -> tuple[str, str]:
        """Press a button that saves a file. Return the file's name and its text."""
        saved: Mapping[str, str] = self._do("download", selector=selector)
        return saved["name"], saved["text"]

    def screenshot(self, path: Path) -> None:
        """Write what it looks like to a PNG file."""
        self._do("screenshot", path=str(path))

    def complaints(self) -> Sequence[str]:
        """Return the errors in the page's console, and the exceptions that were not caught."""
        errors: list[str] = self._do("complaints")
        return errors

    def close(self) -> None:
        self._do("close")

    def _do(self, name: str, **values: Any) -> Any:
        return self.browser.execute(name, page=self.number, **values)


@contextmanager
def browsing() -> Generator[Browser]:
    """Run a browser until the block ends."""
    if (chromium := shutil.which("chromium")) is None:
        raise RuntimeError("Chromium is not installed. On Debian: apt-get install chromium")
    if not (DRIVE.parents[1] / "node_modules").is_dir():
        raise RuntimeError(f"The clients are not installed. Run `npm install` in {DRIVE.parents[1]}.")
    command = ["node", str(DRIVE), chromium]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready: Mapping[str, str] = json.loads(process.stdout.readline() or "{}")
            if not re.match("http://", ready.get("pages", "")):
                raise RuntimeError(f"the driver ended with {process.wait(ENDED_WITHIN)}; its stderr says why")
            browser = Browser(ready["pages"], process.stdin)
            thread = Thread(target=browser.take, args=(process.stdout,))
            thread.start()
            yield browser
        finally:
            _end(process)
        thread.join()


def _end(process: subprocess.Popen[str]) -> None:
    """Make the driver close its browser. A driver that does not end is killed, and this is an error."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
