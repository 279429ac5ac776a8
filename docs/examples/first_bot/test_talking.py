import pytest
from rtvi_plugins.testing import connect

from talking import pizzeria

pytestmark = pytest.mark.anyio


async def test_the_first_version_talks() -> None:
    """Seven lines make a bot."""
    async with connect(pizzeria) as client:
        assert await client.ask("What is 3 plus four?") == "That is 7."
