"""How `rtvi check rtvi-plugins-acme` calls the provider: with a fake of Acme."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager

from rtvi_plugins.testing import ProviderCheck
from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import FakeRequest

#: The lines of an answer.
ANSWER = ({"text": "Hello "}, {"text": "there."}, {"tokens_in": 3, "tokens_out": 2})
LINES = [f"{json.dumps(each)}\n".encode() for each in ANSWER]


def refuse(status: int, request: FakeRequest) -> object:
    """Return Acme's error. Many vendors quote the key in it."""
    return {"status": status, "error": request.headers.get("authorization")}


def acme_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run the fake."""
    return scripted_vendor("/chat", LINES, refuse=refuse, malformed=b"no JSON\n")


PROVIDERS = {"llm.acme": ProviderCheck(vendor=acme_vendor)}
