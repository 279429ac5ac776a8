"""The bot of the README."""

from __future__ import annotations

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import connect

from bot import receptionist

pytestmark = pytest.mark.anyio


async def test_it_books_a_room() -> None:
    """A client may call the action, and its arguments are checked."""
    async with connect(receptionist) as client:
        assert await client.action("bot:book_room", nights=3, name="Ada") == "3 nights for Ada"
        with pytest.raises(RequestError, match="whole number"):
            await client.action("bot:book_room", nights="3", name="Ada")
