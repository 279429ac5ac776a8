"""How `rtvi check` and test_rules.py call the providers: with fakes of Acme."""

from __future__ import annotations

from llm_vendor import llm_vendor
from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

PROVIDERS = {
    "llm.acme": ProviderCheck(vendor=llm_vendor),
}
