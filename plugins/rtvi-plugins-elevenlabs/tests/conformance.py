"""How `rtvi check rtvi-plugins-elevenlabs` calls the provider: with a fake of its vendor."""

from __future__ import annotations

from elevenlabs_server import tts_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {"tts.elevenlabs": ProviderCheck(vendor=tts_vendor)}
