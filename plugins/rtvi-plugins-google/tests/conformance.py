"""How `rtvi check rtvi-plugins-google` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from google_vendor import google_vendor
from live_vendor import live_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "llm.google": ProviderCheck(vendor=google_vendor),
    "speech.google": ProviderCheck(vendor=live_vendor),
}
