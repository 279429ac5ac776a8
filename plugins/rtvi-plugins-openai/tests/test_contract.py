"""What every provider owes, held against the providers of this distribution."""

from __future__ import annotations

import pytest

from rtvi_plugins.testing import check_providers
from rtvi_plugins_openai import llm

pytestmark = pytest.mark.anyio


async def test_its_providers_keep_what_bots_rely_on() -> None:
    """They open, describe themselves, take their options back, and close."""
    await check_providers(llm)
