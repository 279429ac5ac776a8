"""Thousands of seeded requests of every kind, and every fault among them: the short run of `tests/soak/requests.py`."""

from __future__ import annotations

import os

import pytest

from rtvi_plugins.errors import CATALOGUE

from ..tools.loops import EVERY_LOOP
from .requests import soak

pytestmark = [pytest.mark.anyio, EVERY_LOOP]

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "2000"))


@pytest.mark.parametrize("seed", [1])
async def test_every_request_of_a_soak_is_answered_once_and_nothing_is_left(seed: int) -> None:
    """Each request has one final answer, the sessions continue to serve, and no task, thread or service stays open."""
    outcome = await soak(REQUESTS, seed)
    assert outcome.answers == outcome.requests >= REQUESTS
    assert outcome.codes.keys() <= CATALOGUE.keys() | {"request-failed"}
    assert len(outcome.codes) >= 15, outcome.codes
