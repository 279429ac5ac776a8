from pathlib import Path

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.bot_file import load_bot_file
from rtvi_plugins.testing import connect, host_for

pytestmark = pytest.mark.anyio

FILE = Path(__file__).with_name("bot.toml")


async def test_it_answers() -> None:
    """A bot file is a bot like any other."""
    async with connect(load_bot_file(FILE)) as client:
        assert await client.ask("How hot is your oven?") == "We bake with wood, at 450 degrees."


async def test_a_client_may_only_do_what_the_file_grants() -> None:
    """The limits of the file apply."""
    async with connect(load_bot_file(FILE)) as client:
        await client.update_config({"tts": {"words_per_minute": 150}})
        with pytest.raises(RequestError):
            await client.update_config({"tts": {"words_per_minute": 300}})


async def test_the_llm_calls_an_action_of_a_python_file() -> None:
    """The file needs no package."""
    async with connect(load_bot_file(FILE.with_name("kitchen.toml"))) as client:
        assert "pizza 4 needs 5 minutes" in await client.ask("What is the time left for pizza 4?")


def test_production_is_not_public() -> None:
    """An environment changes some settings."""
    assert host_for(load_bot_file(FILE)).public
    production = host_for(load_bot_file(FILE, "production"))
    assert not production.public
    assert production.registry.services["llm"].default == "openai"
