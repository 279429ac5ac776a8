"""Spoken sessions, one for long and many that are left at random moments: the short run of `tests/soak/speech.py`.

The long one, `nox -s soak`, is told by SOAK_MINUTES and SOAK_SESSIONS. Another seed is told by SOAK_SEED.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Generator

import pytest

from ..tools.gauges import Gauges
from .closings import close_at_random
from .server import Server, quiet, serving, warm
from .speech import converse_for
from .visits import come_and_go

MINUTES = float(os.environ.get("SOAK_MINUTES", "0.5"))
SESSIONS = int(os.environ.get("SOAK_SESSIONS", "30"))
SEED = int(os.environ.get("SOAK_SEED", "1"))

pytestmark = pytest.mark.timeout(120 + 90 * MINUTES + 2 * SESSIONS)

TOLD = f"with SOAK_SEED={SEED}"

#: What memory may grow by, in KiB. In twenty minutes of one conversation it stays within 2 MiB of itself. From rest to
#: rest it swings by 60 MiB, for it depends on chance how much of what the VAD's models leave can be used for others;
#: what a session leaves is counted more exactly in this process, by its objects.
GROWTH_OF_A_QUARTER = 4 * 1024
GROWTH_OF_HALF = 96 * 1024


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """Run a server process. Its log has no warnings or errors."""
    with serving() as process:
        yield process
    assert "Traceback" not in process.said
    assert "ERROR" not in process.said
    assert "WARNING" not in process.said


@pytest.fixture(scope="module")
def before(server: Server) -> Gauges:
    """Return what the process holds without sessions."""
    return asyncio.run(warm(server))


def test_a_long_conversation_leaves_nothing_behind(server: Server, before: Gauges) -> None:
    """Each utterance is heard and answered. Afterwards, threads, children, files and sockets are as before."""
    talk = asyncio.run(converse_for(server, MINUTES, SEED))
    assert len(talk.wrong) <= max(1, len(talk.exchanges) / 10), (TOLD, talk.wrong)
    assert len(talk.exchanges) >= 4 * MINUTES, TOLD
    assert talk.stray_frames == 0, f"audio after the bot said that it is silent, {TOLD}"
    assert talk.loud_seconds >= len(talk.exchanges) / 2, TOLD
    if MINUTES >= 5:  # before that, caches are still filling
        assert talk.grown <= GROWTH_OF_A_QUARTER, (TOLD, talk.memory)
    assert asyncio.run(quiet(server, before)).more_than(before) == {}, TOLD


def test_sessions_left_at_random_moments_leave_nothing_behind(server: Server, before: Gauges) -> None:
    """Whatever the number of sessions and the way they end, threads, children, files and sockets are as before."""
    visits = asyncio.run(come_and_go(server, SESSIONS, SEED, before))
    assert visits.moments.total() == SESSIONS
    assert visits.left == {}, (TOLD, visits)
    if SESSIONS >= 100:
        assert visits.grown <= GROWTH_OF_HALF, (TOLD, visits.memory)


@pytest.mark.anyio
async def test_a_session_left_at_any_moment_closes_what_it_has_opened(caplog: pytest.LogCaptureFixture) -> None:
    """No task is still running, every provider and each of its streams is closed, and no error is logged."""
    with caplog.at_level(logging.WARNING):
        closings = await close_at_random(SESSIONS, SEED)
    assert closings.services_opened > SESSIONS
    assert closings.streams_opened > SESSIONS / 2
    assert set(closings.left.values()) == {0}, (TOLD, closings)
    assert caplog.messages == [], TOLD
