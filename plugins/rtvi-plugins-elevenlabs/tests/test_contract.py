"""The rules for providers, with a vendor that fails in every way."""

from __future__ import annotations

import pytest
from elevenlabs_server import tts_vendor

from rtvi_plugins.testing import check_providers
from rtvi_plugins_elevenlabs import tts

pytestmark = pytest.mark.anyio


async def test_the_tts_keeps_all_rules() -> None:
    """Nothing is waived."""
    await check_providers(tts, vendor=tts_vendor)
