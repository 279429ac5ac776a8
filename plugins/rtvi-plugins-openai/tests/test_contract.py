"""The conformance kit on all providers of this distribution."""

from __future__ import annotations

import pytest
from openai_vendor import chat_vendor

from rtvi_plugins.testing import check_providers
from rtvi_plugins_openai import llm

pytestmark = pytest.mark.anyio


async def test_chat_models_keep_all_rules() -> None:
    """Also if their vendor fails, in every way."""
    await check_providers(llm, vendor=chat_vendor)
