"""Faults from a seed over real sockets, with processes that are replaced and killed: the short run of `run.py`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from .run import run_faults

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")]

FAULTS = int(os.environ.get("SOAK_FAULTS", "3000"))

log = logging.getLogger(__name__)


def test_every_request_is_answered_once_and_none_is_executed_twice(tmp_path: Path) -> None:
    """Actions, services, helpers, sockets and processes fail. Each request has one answer."""
    outcome = run_faults(tmp_path, FAULTS, every=1.5 if FAULTS < 10_000 else 10.0)
    log.warning("\n%s", outcome.table())
    assert not outcome.wrong, outcome.table()
    assert outcome.answered.total() == outcome.requests
    assert outcome.faults >= FAULTS
    for kind in ("process is drained", "process is killed", "socket is cut", "resumed in another process"):
        assert outcome.sent[kind], kind
