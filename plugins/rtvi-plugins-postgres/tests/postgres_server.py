"""A separate PostgreSQL on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

__all__ = ("serving",)

#: How long the server may take to start, in seconds.
_PATIENCE = 30.0


@contextmanager
def serving() -> Generator[str]:
    """Run a server, and yield its URL. Its files are not below pytest's folder, which other users cannot enter."""
    user = _user()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="rtvi-postgres-") as folder:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = str(Path(folder, "data"))
        make = [_program("initdb"), "--pgdata", data, "--auth", "trust", "--username", "bots", "--no-sync"]
        subprocess.run(make, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)
        options = ["-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", folder]
        with subprocess.Popen(
            [_program("postgres"), *options], user=user, cwd=folder, stderr=subprocess.DEVNULL
        ) as process:
            try:
                address = f"postgresql://bots@127.0.0.1:{port}/postgres"
                _wait(address)
                yield address
            finally:
                process.terminate()  # connections are closed, and all its processes end


def _program(name: str) -> str:
    """Return the path of a program. On Debian, the server's programs are not in the search path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        pytest.fail(f"{name} is not installed. It is in Debian's package postgresql.")
    return found


def _user() -> str | None:
    """Return the user for the server, which refuses to run as root. None means this user."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _wait(url: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
