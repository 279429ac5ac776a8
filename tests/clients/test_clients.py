"""The published npm clients, unmodified and driven from Node, against a real server process.

`node/run.js` runs every check that applies to a client and prints a line for each; here each becomes a test. A check
that printed nothing failed. The four clients run at the same time, since most of their time is waiting.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RUN = HERE / "node" / "run.js"
SECRET = "secret-of-a-test"
ENDED_WITHIN = 30.0
DONE_WITHIN = 240.0

# The first test waits for all the runs.
pytestmark = pytest.mark.timeout(DONE_WITHIN + ENDED_WITHIN)

Results = Mapping[str, Mapping[str, Any]]


def _checks() -> list[tuple[str, str]]:
    """Return every check by client, as Node lists them. Without Node, there is one check, which fails."""
    if shutil.which("node") is None:
        return [("any client", "Node is installed")]
    listed = subprocess.run(["node", str(RUN), "--list"], capture_output=True, text=True, check=True, timeout=30)
    names: dict[str, list[str]] = json.loads(listed.stdout)
    return [(client, check) for client, checks in names.items() for check in checks]


CHECKS = _checks()
CLIENTS = list(dict.fromkeys(client for client, _ in CHECKS))


@contextmanager
def _server(bot: str, *options: str | Path) -> Generator[tuple[str, int]]:
    """Return the address and the process id of a server that runs one of the bots."""
    command = [sys.executable, "-m", "rtvi_plugins", "run", f"{HERE / 'bot.py'}:{bot}", "--port", "0"]
    command += ["--limit", "function_seconds=5"]  # what a client that never answers a call is waited for
    command += ["--limit", "unclaimed_per_address=64"]  # all the clients have one address
    command += map(str, options)
    environment = {**os.environ, "RTVI_OPERATOR_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process), process.pid
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a server as an operator does. A server that does not end is killed, and this is an error."""
    process.terminate()
    try:
        process.wait(timeout=ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:  # ends when the process does
        if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
            return found.group()
    raise RuntimeError(f"the server ended with {process.wait()} before it listened; its stderr says why")


class Run:
    """The run of one client in a process that writes to files, because nobody reads a pipe while others run."""

    def __init__(self, client: str, addresses: Mapping[str, Any], folder: Path) -> None:
        self.out, self.err = folder / f"{client}.out", folder / f"{client}.err"
        command = ["node", str(RUN), client, json.dumps(addresses)]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    def results(self) -> Results:
        """Return the line of each check. Other output has an empty name."""
        try:
            self.process.wait(timeout=DONE_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        lines = [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]
        return {**{line["name"]: line for line in lines}, "": {"detail": self.err.read_text(encoding="utf-8")[-4000:]}}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Results]]:
    """Return the result of each check of each client."""
    if not (HERE / "node_modules").is_dir():
        pytest.fail(f"The clients are not installed. Run `npm install` in {HERE}.")
    folder = tmp_path_factory.mktemp("clients")
    saved = ("open_bot", "--resume", folder / "sessions.db")
    with (
        _server("open_bot") as (opened, _),
        _server("closed_bot") as (closed, _),
        _server(*saved) as (one, _),
        _server(*saved) as (two, _),
        _server(*saved) as (victim, pid),
    ):
        saving = {"one": one, "two": two, "victim": {"url": victim, "pid": pid}}
        addresses = {"open": opened, "closed": closed, "secret": SECRET, "saving": saving}
        runs = {client: Run(client, addresses, folder) for client in CLIENTS}
        yield {client: run.results() for client, run in runs.items()}


@pytest.mark.parametrize(("client", "check"), CHECKS, ids=[f"{client}: {check}" for client, check in CHECKS])
def test_published_client(results: Mapping[str, Results], client: str, check: str) -> None:
    """The check ran with this client, and it succeeded."""
    done = results[client]
    assert check in done, f"The check did not run. {done['']['detail']}"
    assert done[check]["ok"], done[check]["detail"]


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_ran_that_is_not_listed(results: Mapping[str, Results], client: str) -> None:
    """Otherwise, the failure of a check that is run but not listed would not be seen."""
    listed = {check for name, check in CHECKS if name == client}
    assert set(results[client]) - {""} <= listed
