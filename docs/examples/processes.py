"""Servers for the tests of examples. Each runs in its own process and ends with the test."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ("CLIENTS", "free_port", "nginx", "node_program", "rtvi_run", "running", "with_values")

_TESTS = Path(__file__).parents[2] / "tests"
#: Where the published npm clients are installed.
CLIENTS = _TESTS / "clients" / "node_modules"

#: Loads a published client under the name that applications import it by.
_PACKAGE = """
import {{ createRequire }} from "node:module";
const client = createRequire({clients!r} + "/")({package!r});
export const {{ {names} }} = client;
"""
#: What Node lacks for the clients.
_NODE = Path(__file__).with_name("clients") / "node.mjs"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def with_values(text: str, values: dict[str, str]) -> str:
    """Replace what is different on another machine. Each value must be in the text once."""
    for old, new in values.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, site: str) -> Generator[None]:
    """Run nginx with this file of a site. Its other files are in the folder."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail("nginx is not installed. On Debian: apt-get install nginx-light")
    (folder / "site.conf").write_text(site)
    shutil.copy(_TESTS / "tools" / "nginx.conf", folder)
    with running(["sh", "-c", f"exec {program} -p {folder} -c nginx.conf 2>&1"], r"(start worker processes)"):
        yield


@contextmanager
def running(command: Sequence[str], pattern: str, **environment: str) -> Generator[str]:
    """Run a server until the block ends. Yield the group of `pattern` that matches one of its first lines."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _wait_for(process, pattern)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:  # ends when the process does
        if (found := re.search(pattern, line)) is not None:
            return found[1]
    raise RuntimeError(f"the server ended with {process.wait()} before it listened; its stderr says why")


@contextmanager
def rtvi_run(bot: Path, *options: str, **environment: str) -> Generator[str]:
    """Run `rtvi run` on a free port. Yield its address."""
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(bot), "--port", "0", *options]
    with running(command, r"(http://127\.0\.0\.1:\d+)", **environment) as address:
        yield address


def node_program(folder: Path, program: str, package: str, imported_as: str, names: str) -> str:
    """Run a program in a folder with a published client, installed as `imported_as`. Return its output."""
    if not CLIENTS.is_dir():
        pytest.fail(f"The published clients are not installed. Run `npm install` in {CLIENTS.parent}.")
    home = folder / "node_modules" / imported_as
    home.mkdir(parents=True)
    (home / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (home / "index.js").write_text(_PACKAGE.format(clients=str(CLIENTS), package=package, names=names))
    (folder / "node_modules" / "ws").symlink_to(CLIENTS / "ws")
    shutil.copy(_NODE, folder)
    (folder / "program.mjs").write_text(program)
    done = subprocess.run(
        ["node", "--import", "./node.mjs", "program.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
