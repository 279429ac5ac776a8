"""The tests of this folder run on asyncio only: the SDKs are in processes of their own."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run the fakes on asyncio."""
    return "asyncio"
