"""Optional providers are the default where they are installed."""

from __future__ import annotations

import pytest
from optional import desk
from rtvi_plugins.testing import connect

pytestmark = pytest.mark.anyio


async def test_what_is_installed_is_the_default() -> None:
    """The client sees an option that only Piper has."""
    async with connect(desk) as client:
        config = await client.get_config()
    assert config.values["tts"]["speed"] == 1.1
