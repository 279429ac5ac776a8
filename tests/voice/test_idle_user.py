"""A user who says nothing is asked whether they are still there, once."""

from __future__ import annotations

import pytest

from rtvi_plugins.kinds import (
    Text,
)
from rtvi_plugins.voice import TurnTaking

from ..fakes.conversation import FORTY, shown, silence, speak, spoken, wait, write
from ..fakes.providers import NOISE, POLITE, Fakes
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


async def test_a_user_who_says_nothing_is_asked_once() -> None:
    """The user is asked again only after they have said something."""
    fakes = Fakes([Text("Fine.")], **POLITE)
    async with fakes.session() as wire:
        await wait(wire, 15.0)
        assert spoken(wire).count("Hello?") == 1
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 15.0)
        assert spoken(wire).count("Hello?") == 2


async def test_a_session_that_ends_asks_nobody_whether_they_are_there() -> None:
    """Other sessions continue."""
    fakes = Fakes(**POLITE)
    async with fakes.session() as wire:
        await wait(wire, 1.0)
        wire.connection.disconnected()
        await settle()
        await wait(wire, 10.0)
        started = await wire.host.start({})
        assert wire.host.claim(started.token).closed is False


async def test_nobody_is_asked_whether_they_are_there_while_they_speak() -> None:
    """This is true for any length of the speech."""
    fakes = Fakes([Text(FORTY)], [Text("Fine.")], taking=TurnTaking(idle_seconds=2.0, idle_text="Hello?"))
    async with fakes.session() as wire:
        await write(wire)
        await silence(wire, 0.5)
        await speak(wire, 3, 4.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert "Hello?" in shown(wire)


async def test_after_a_noise_the_user_is_asked_later() -> None:
    """A noise does not count as an answer, but does not delay the question for ever."""
    fakes = Fakes(taking=TurnTaking(idle_seconds=2.0, idle_text="Hello?"), greeting="Good day.")
    async with fakes.session() as wire:
        await silence(wire, 1.5)
        await speak(wire, NOISE, 0.4)
        await silence(wire, 2.0)
        assert "Hello?" not in shown(wire)
        await silence(wire, 2.0)
        assert shown(wire).count("Hello?") == 1
