"""The transport in callbacks, with an asyncio transport that collects its output."""

from __future__ import annotations

import asyncio
import json

import pytest
from rtvi_plugins import Session, bot
from rtvi_plugins.testing import host_for, settle

from transport.callbacks import attach

pytestmark = pytest.mark.anyio


class Kept(asyncio.WriteTransport):
    """Collects the written text."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


@bot(public=True)
async def greeter(session: Session, /) -> None:
    """Greets and ends the session."""
    session.send("hello")
    session.close()


async def test_messages_are_written_as_they_come() -> None:
    """The transport closes when the session ends."""
    kept = Kept()
    async with host_for(greeter) as host:
        connection = host.claim((await host.start()).token)
        attach(connection, kept)
        connection.receive('{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}')
        await settle()
    types = [json.loads(line)["type"] for line in kept.written.splitlines()]
    assert (types, kept.closed) == (["bot-ready", "server-message"], True)
