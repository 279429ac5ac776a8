"""The conformance kit on the providers of this distribution."""

from __future__ import annotations

import pytest
from openai_vendor import chat_vendor

from rtvi_plugins.testing import check_providers, find_problems
from rtvi_plugins_openai import llm

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("provider", ["openai", "ollama"])
async def test_chat_models_keep_all_rules(provider: str) -> None:
    """Also if their vendor fails, in every way. The others differ only in their tables."""
    assert [str(each) for each in await find_problems(llm, vendor=chat_vendor, provider=provider)] == []


async def test_every_vendor_opens_and_is_documented() -> None:
    """With its own names and defaults."""
    await check_providers(llm)
