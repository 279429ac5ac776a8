"""How busy a host is, and which starts it therefore refuses."""

from __future__ import annotations

from itertools import chain, repeat

import anyio
import pytest

from rtvi_plugins import Session, bot
from rtvi_plugins.errors import AuthorError, ServerFull, Unauthorized
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.runtime.watchdog import Lateness
from rtvi_plugins.session import Secret

pytestmark = pytest.mark.anyio


@bot(public=True)
async def clerk(session: Session, /) -> None:
    """A bot that does nothing."""


async def test_the_load_is_the_share_of_the_sessions() -> None:
    """At a load of 1, the next start is refused. `Host.refusal` returns the same error before."""
    async with Host(clerk, environ={}, limits=Limits(sessions=2)) as host:
        assert (host.load, host.refusal) == (0.0, None)
        await host.start()
        assert (host.load, host.refusal) == (0.5, None)
        await host.start()
        assert (host.load, type(host.refusal)) == (1.0, ServerFull)
        with pytest.raises(ServerFull, match="as many sessions as it can"):
            await host.start()


async def test_a_host_whose_event_loop_is_late_starts_no_session() -> None:
    """In this test, the lateness is set directly. Otherwise the system's clock measures it."""
    async with Host(clerk, environ={}, limits=Limits(late_seconds=0.2)) as host:
        await host.start()
        host._lateness.note(0.3)  # pyright: ignore[reportPrivateUsage]
        assert host.load == pytest.approx(1.5)
        with pytest.raises(ServerFull, match="too busy"):
            await host.start()


async def test_the_lateness_is_that_of_a_task_of_the_event_loop() -> None:
    """The lateness decays: at each measurement it loses a fifth."""
    times = chain([0.0, 1.25, 2.0, 2.25], repeat(3.0))  # the clock at the begin and the end of each wait
    lateness = Lateness(lambda: next(times))
    async with lateness.measuring():
        with anyio.fail_after(5):
            while lateness.seconds != pytest.approx(0.8):
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("secrets", [Secret("a" * 15), [Secret("a" * 15), Secret("a" * 16)]])
async def test_a_secret_of_the_operator_that_can_be_guessed_is_refused(secrets: Secret | list[Secret]) -> None:
    """In development mode, nothing is secret."""
    with pytest.raises(AuthorError, match=r"^The operator's secret has 15 characters, .* openssl rand -hex 32$"):
        Host(clerk, environ={}, operator_secret=secrets)
    Host(clerk, environ={}, operator_secret=secrets, dev=True)


async def test_a_short_secret_of_the_operator_can_be_replaced() -> None:
    """It is valid beside the new one."""
    async with Host(clerk, environ={}, operator_secret=[Secret("a" * 16), Secret("short")]) as host:
        await host.start(secret="short")


async def test_two_secrets_of_the_operator_are_valid_at_once() -> None:
    """An empty secret is never valid."""
    secrets = [Secret("new-secret-of-a-test"), Secret("old-secret-of-a-test"), Secret("")]
    async with Host(clerk, environ={}, operator_secret=secrets) as host:
        for each in ("new-secret-of-a-test", "old-secret-of-a-test"):
            await host.start(secret=each)
        for each in ("another one", ""):
            with pytest.raises(Unauthorized, match="wrong"):
                await host.start(secret=each)
