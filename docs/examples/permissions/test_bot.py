"""A client may do what the bot grants, as far as it grants it, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import connect

from bot import receptionist

pytestmark = pytest.mark.anyio

KEYS = {"openai": "key-of-a-test"}


async def test_what_is_granted_is_described() -> None:
    """A client sees what it may do, and nothing else."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        actions = {f"{each['service']}:{each['action']}" for each in await client.describe_actions()}
        options = {each["name"]: each["options"] for each in await client.describe_config()}
    assert actions == {"llm:run", "llm:append_to_messages", "tts:say"}
    assert {each["name"]: each["writable"] for each in options["llm"]} == {"provider": True, "name": False}
    assert options["tts"] == []


async def test_bounds_are_described_and_kept() -> None:
    """The tighter bound of the grant counts."""
    async with connect(receptionist, api_keys=KEYS) as client:
        await client.update_config({"llm": {"temperature": 1.0}})
        with pytest.raises(RequestError):
            await client.update_config({"llm": {"temperature": 1.5}})


@pytest.mark.parametrize("changes", [{"name": "Eve"}, {"words_per_second": 1}])
async def test_what_is_not_granted_is_refused(changes: dict[str, Any]) -> None:
    """Neither what may only be read, nor what may not be seen."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        with pytest.raises(RequestError) as refused:
            await client.update_config({"llm": changes})
    assert refused.value.code == "not-granted"


async def test_arguments_are_narrowed() -> None:
    """An action may be granted for some values of its arguments only."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        assert await client.action("tts:say", text="Hello.")
        with pytest.raises(RequestError):
            await client.action("tts:say", text="Hello.", interrupt=True)


async def test_an_operator_narrows_one_session() -> None:
    """A trusted start may take away, and never add."""
    operator = {"grants": ["llm:run", {"name": "tts:say", "arguments": {"text": {"max_len": 20}}}, "llm:get_context"]}
    async with connect(receptionist, services={"llm": "rules"}, operator=operator) as client:
        actions = {f"{each['service']}:{each['action']}" for each in await client.describe_actions()}
        assert actions == {"llm:run", "tts:say"}
