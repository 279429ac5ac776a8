import pytest
from rtvi_plugins.testing import connect

from talking import pizzeria

pytestmark = pytest.mark.anyio


async def test_the_first_version_talks() -> None:
    """Seven lines make a bot."""
    async with connect(pizzeria) as client:
        await client.send_text("What is 3 plus four?")
        async for event in client.events():
            if event.type == "bot-transcription":
                assert event.data["text"] == "That is 7."
                break
