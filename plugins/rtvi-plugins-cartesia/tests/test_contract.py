"""The rules for providers, with a vendor that fails in every way."""

from __future__ import annotations

import pytest
from cartesia_server import stt_vendor, tts_vendor

from rtvi_plugins.testing import check_providers
from rtvi_plugins_cartesia import stt, tts

pytestmark = pytest.mark.anyio


async def test_the_stt_keeps_all_rules() -> None:
    """Nothing is waived."""
    await check_providers(stt, vendor=stt_vendor)


async def test_the_tts_keeps_all_rules() -> None:
    """Nothing is waived."""
    await check_providers(tts, vendor=tts_vendor)
