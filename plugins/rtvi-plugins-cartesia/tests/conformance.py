"""How `rtvi check rtvi-plugins-cartesia` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from cartesia_server import stt_vendor, tts_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "stt.cartesia": ProviderCheck(vendor=stt_vendor),
    "tts.cartesia": ProviderCheck(vendor=tts_vendor),
}
