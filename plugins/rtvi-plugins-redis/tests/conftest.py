"""What every test of this distribution may use: both backends, and a separate Redis on this machine."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for redis_server

from redis_server import free_port, serving


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Return the URL of a server that all tests share."""
    with serving(tmp_path_factory.mktemp("redis"), free_port()) as address:
        yield address
