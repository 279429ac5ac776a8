"""Event loops for tests of what depends on the loop itself: timers, callbacks, threads, sockets and processes."""

from __future__ import annotations

import pytest

__all__ = ("EVERY_LOOP",)

#: Run on uvloop too. Other tests run on asyncio and trio.
EVERY_LOOP = pytest.mark.parametrize(
    "anyio_backend", ["asyncio", "trio", "asyncio+uvloop"], indirect=True, scope="module"
)
