"""The conformance kit on bridged providers, against fakes of their vendors."""

from __future__ import annotations

import gc
from types import ModuleType

import pytest
from conformance import PROVIDERS

from rtvi_plugins.testing import check_providers
from rtvi_plugins_livekit.listing import providers

pytestmark = pytest.mark.anyio


def bridged(name: str) -> ModuleType:
    """Declare a provider as the framework does."""
    (found,) = (each for each in providers() if each.name == name)
    module = found.make_module("bridged")
    # On a busy machine, collecting garbage among the objects of LiveKit's modules takes longer than the kit allows.
    gc.collect()
    gc.freeze()
    return module


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_keeps_all_rules_but_its_exception(name: str) -> None:
    """Also if its vendor fails, in every way."""
    check = PROVIDERS[name]
    await check_providers(bridged(name), vendor=check.vendor, waive=check.waive)
