"""If a client does not read, its session ends when too many messages wait, whichever message is the last."""

from __future__ import annotations

import pytest

from rtvi_plugins.hosting import Limits, ManualClock
from rtvi_plugins.kinds import Text

from ..fakes.conversation import silence, speak
from ..fakes.providers import RATE, Fakes
from ..fakes.wire import OPERATOR, Wire, host_of, settle

pytestmark = pytest.mark.anyio

REASON = "The client does not read what is sent to it."


async def converse_unread(most: int) -> bool:
    """Speak, interrupt the answer and be silent, with a limit of unread messages. Return whether the session ends."""
    fakes = Fakes([Text("A long answer that is interrupted.")], [Text("Yes?")])
    clock = ManualClock()
    async with host_of(fakes.talker(), fakes, limits=Limits(outbox=most), clock=clock) as host:
        wire = Wire(host, host.claim((await host.start(None, secret=OPERATOR)).token), clock)
        wire.connection.open_audio(RATE)
        wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await settle()
        await speak(wire, 1, 0.3)
        await silence(wire, 0.8)
        await speak(wire, 3, 0.4)
        await silence(wire, 0.6)
        return wire.connection.closed


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_end_may_come_at_any_message(caplog: pytest.LogCaptureFixture) -> None:
    """The user's audio continues to arrive, and nothing fails. The log says once why the session has ended."""
    most = 1
    while await converse_unread(most):
        assert [each.partition(": ")[2] for each in caplog.messages] == [REASON], most
        caplog.clear()
        most += 1
    assert most > 20
