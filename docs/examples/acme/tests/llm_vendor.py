"""A fake of Acme's LLM for tests: a real server on loopback."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager

from rtvi_plugins_vendor.scripts import EVENT_STREAM, ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import Answer, FakeRequest, Script

__all__ = ("ANSWER", "CALL", "CHAT", "FAULT", "HALF", "MODELS", "ROUTES", "UNKNOWN", "llm_vendor")


def events(*named: tuple[str, object]) -> Answer:
    """Return an answer of server-sent events with names."""
    parts = [f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in named]
    return Answer(parts=parts, headers=EVENT_STREAM)


END = ("end", {"tokens": [3, 2]})
ANSWER = events(("delta", {"content": "Hello "}), ("delta", {"content": "there."}), END)
CALL = events(("tool", {"id": "c1", "name": "order", "input": {"pizza": "funghi"}}), END)
HALF = events(("delta", {"content": "Hello "}))
UNKNOWN = events(("delta", {"unknown": 1}))
FAULT = events(("fault", {"reason": "no_credit"}))

CHAT, MODELS = "/v2/generate", "/v2/models"
#: What Acme answers at each path.
ROUTES: dict[str, Script] = {
    CHAT: ANSWER,
    MODELS: Answer(json={"models": ["breeze", "storm"]}),
    "/v2/account": Answer(json={"credit": 4.5}),
}


def llm_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
    """Return a vendor that answers and fails as `rtvi check` wants."""
    return scripted_vendor(CHAT, ANSWER.parts, refuse=_refuse)


def _refuse(status: int, request: FakeRequest) -> object:
    """Return the body of a refusal. Vendors quote keys in it."""
    return {"error": f"{status}: {request.headers['x-acme-key']}"}
