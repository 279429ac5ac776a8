"""A separate Redis on this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

__all__ = ("client_of", "free_port", "serving")

#: Its types are partly unknown.
_Redis: Any = redis.Redis

#: How long the server may take to start, in seconds.
_PATIENCE = 20.0


def client_of(url: str) -> Any:
    """Return a client, with which tests check what a store has written."""
    return _Redis.from_url(url, decode_responses=True)


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int) -> Generator[str]:
    """Run a server, with its files in this folder, and yield its URL."""
    if (program := shutil.which("redis-server")) is None:
        pytest.fail("redis-server is not installed. It is in Debian's package redis-server.")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    # At once, because tests read the file.
    options += ["--appendonly", "yes", "--appendfsync", "always"]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait(url)
            yield url
        finally:
            process.kill()


def _wait(url: str) -> None:
    until = time.monotonic() + _PATIENCE
    with client_of(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > until:
                    raise
