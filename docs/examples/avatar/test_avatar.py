"""A service of a new kind is described, configured and called like any other."""

from __future__ import annotations

import pytest
from rtvi_plugins.testing import connect

import rtvi_plugins_avatar
from bot import receptionist

pytestmark = pytest.mark.anyio


async def test_the_kind_has_its_actions_and_the_provider_its_options() -> None:
    """The bot chooses the name of the service."""
    async with connect(receptionist, rtvi_plugins_avatar) as client:
        assert await client.action("face:show_mood", mood="happy") == ":-)"
        await client.update_config({"face": {"eyes": ";"}})
        assert await client.action("face:show_mood", mood="happy") == ";-)"
