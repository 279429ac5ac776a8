"""How `rtvi check rtvi-plugins-google` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from google_vendor import google_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "llm.google": ProviderCheck(vendor=google_vendor),
}
