"""Server processes for tests. A test waits until they print their address, and they end with the test."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from attrs import define, field

from .patience import PATIENCE

__all__ = ("Process", "environment", "running")


@define
class Process:
    """A server process. `matched` is the group of the pattern that `running` waited for.

    `said` is all its output, once it has ended.
    """

    matched: str
    pid: int
    said: str = field(default="", init=False)


def environment(**added: str) -> Mapping[str, str]:
    """Return this process's environment without what concerns its own Python or bot, and with what is `added`."""
    private = re.compile(r"PYTHON|RTVI_|VIRTUAL_ENV|.*_API_KEY$")
    return {name: value for name, value in os.environ.items() if not private.match(name)} | added


@contextmanager
def running(
    command: Sequence[str | Path], pattern: str, *, env: Mapping[str, str], cwd: Path | None = None
) -> Generator[Process]:
    """Run a server until the block ends; waits until `pattern` matches what it prints, and keeps the group."""
    with (
        TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(list(map(str, command)), env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        first = _first(process.stdout, pattern)
        try:
            if (found := re.search(pattern, first)) is None:
                raise RuntimeError(f"it ended with {process.wait(PATIENCE)}: {_all(errors)}")
            serving = Process(found[1], process.pid)
            yield serving
        finally:
            _end(process)
        serving.said = f"{first}{process.stdout.read().decode()}{_all(errors)}"


def _first(stdout: IO[bytes], pattern: str) -> str:
    """Return its output up to the line that is expected, or up to its end."""
    said = ""
    for line in stdout:
        said += line.decode()
        if re.search(pattern, said):
            break
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it as an operator does. A process that does not end is killed, and this is an error."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
