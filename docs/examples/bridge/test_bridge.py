"""Each tone is a provider that the bridge declares."""

from __future__ import annotations

import pytest
from rtvi_plugins.testing import check_providers
from rtvi_plugins_tones import providers

pytestmark = pytest.mark.anyio


async def test_every_tone_keeps_the_rules_of_a_provider() -> None:
    """A test makes the modules that the framework makes for bots."""
    for each in providers():
        await check_providers(each.make_module("tone"))
