"""How `rtvi check rtvi-plugins-deepgram` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from deepgram_server import stt_vendor, tts_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "stt.deepgram": ProviderCheck(vendor=stt_vendor),
    "tts.deepgram": ProviderCheck(vendor=tts_vendor),
}
