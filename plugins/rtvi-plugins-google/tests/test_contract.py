"""The conformance kit on the provider of this distribution."""

from __future__ import annotations

import pytest
from google_vendor import google_vendor

from rtvi_plugins.testing import check_providers
from rtvi_plugins_google import llm

pytestmark = pytest.mark.anyio


async def test_it_keeps_all_rules() -> None:
    """Also if the vendor fails, in every way."""
    await check_providers(llm, vendor=google_vendor)
