"""Tests of `real` need LiveKit. `nox -s livekit` runs them, in an environment of their own."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for the fakes of vendors

collect_ignore = [] if find_spec("livekit") else ["real"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run async tests on asyncio: LiveKit needs it."""
    return "asyncio"
