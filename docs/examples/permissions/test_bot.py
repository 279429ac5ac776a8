"""A client may only do what the bot grants."""

from __future__ import annotations

from typing import Any

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import connect

from bot import receptionist

pytestmark = pytest.mark.anyio

KEYS = {"openai": "key-of-a-test"}


async def test_grants_are_described() -> None:
    """A client sees only its permissions."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        actions = {f"{each['service']}:{each['action']}" for each in await client.describe_actions()}
        options = {each["name"]: each["options"] for each in await client.describe_config()}
    assert actions == {"llm:run", "llm:append_to_messages", "tts:say"}
    assert {each["name"]: each["writable"] for each in options["llm"]} == {"provider": True, "name": False}
    assert options["tts"] == []


async def test_limits_are_enforced() -> None:
    """The stricter limit applies."""
    async with connect(receptionist, api_keys=KEYS) as client:
        await client.update_config({"llm": {"temperature": 1.0}})
        with pytest.raises(RequestError):
            await client.update_config({"llm": {"temperature": 1.5}})


@pytest.mark.parametrize("changes", [{"name": "Eve"}, {"words_per_second": 1}])
async def test_other_options_are_refused(changes: dict[str, Any]) -> None:
    """A client cannot set a read-only option or an option without a grant."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        with pytest.raises(RequestError) as refused:
            await client.update_config({"llm": changes})
    assert refused.value.code == "not-granted"


async def test_arguments_are_limited() -> None:
    """A grant can limit the arguments of an action."""
    async with connect(receptionist, services={"llm": "rules"}) as client:
        assert await client.action("tts:say", text="Hello.")
        with pytest.raises(RequestError):
            await client.action("tts:say", text="Hello.", interrupt=True)


async def test_an_operator_limits_one_session() -> None:
    """A trusted start request can remove permissions, but not add any."""
    operator = {"grants": ["llm:run", {"name": "tts:say", "arguments": {"text": {"max_len": 20}}}, "llm:get_context"]}
    async with connect(receptionist, services={"llm": "rules"}, operator=operator) as client:
        actions = {f"{each['service']}:{each['action']}" for each in await client.describe_actions()}
        assert actions == {"llm:run", "tts:say"}
