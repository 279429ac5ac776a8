"""How `rtvi check rtvi-plugins-anthropic` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from anthropic_vendor import anthropic_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "llm.anthropic": ProviderCheck(vendor=anthropic_vendor),
}
