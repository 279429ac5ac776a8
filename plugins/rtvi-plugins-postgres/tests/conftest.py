"""What every test of this distribution may use: both backends, and a separate PostgreSQL on this machine."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for postgres_server

from postgres_server import serving


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture(scope="session")
def url() -> Generator[str]:
    """Return the URL of a server that all tests share."""
    with serving() as address:
        yield address
