"""How `rtvi check rtvi-plugins-assemblyai` calls the provider: with a fake of its vendor."""

from __future__ import annotations

from assemblyai_server import stt_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {"stt.assemblyai": ProviderCheck(vendor=stt_vendor)}
