"""Google for tests, over a real socket: `streamGenerateContent` with scripted answers and every failure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import FakeRequest

__all__ = ("PATH", "THINKING_AND_CALLING", "USAGE", "answer", "error", "event", "google_vendor", "refuse", "saying")

PATH = "/v1/models/gemini-3.8-flash:streamGenerateContent"
USAGE = {
    "promptTokenCount": 112,
    "cachedContentTokenCount": 100,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "totalTokenCount": 121,
}
_STATUS = {400: "INVALID_ARGUMENT", 402: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


def event(chunk: Mapping[str, Any]) -> bytes:
    """Return a chunk as a server-sent event."""
    return f"data: {json.dumps(chunk)}\r\n\r\n".encode()


def error(code: int, status: str) -> bytes:
    """Return an error in the middle of a stream."""
    return event({"error": {"code": code, "status": status, "message": "words of a vendor"}})


def refuse(status: int, request: FakeRequest) -> object:
    """Return an error as Google sends it. It quotes the key. A wrong key has the status 400 and a reason."""
    message = f"not valid: {request.headers.get('x-goog-api-key')}"
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    details = [reason] if status == 401 else []
    name = _STATUS.get(status, "UNAUTHENTICATED")
    return {"error": {"code": status, "message": message, "status": name, "details": details}}


def answer(*chunks: Sequence[Mapping[str, Any]], reason: str = "STOP") -> list[bytes]:
    """Return an answer. Each chunk has these parts, and the last one the reason to finish and the usage."""
    about = {"modelVersion": "gemini-small", "responseId": "r1", "usageMetadata": {"promptTokenCount": 112}}
    begun = [{"candidates": [{"content": {"role": "model", "parts": [*each]}, "index": 0}], **about} for each in chunks]
    ended: dict[str, Any] = {"candidates": [{"content": {"role": "model", "parts": []}, "index": 0}], **about}
    ended["candidates"][0]["finishReason"] = reason
    return [*map(event, begun), event({**ended, "usageMetadata": USAGE})]


def saying(*pieces: str, reason: str = "STOP") -> list[bytes]:
    """Return an answer in these pieces of text."""
    return answer(*([{"text": each}] for each in pieces), reason=reason)


#: A thought, a sentence, two function calls of which the first is signed, and a signed end.
THINKING_AND_CALLING = answer(
    [{"text": "Three nights.", "thought": True}],
    [{"text": "One moment."}],
    [
        {
            "functionCall": {"id": "f1", "name": "book_room", "args": {"nights": 3}},
            "thoughtSignature": "c2lnbmVk",
        },
        {"functionCall": {"name": "hang_up"}},
    ],
    [{"text": "", "thoughtSignature": "ZW5kcw=="}],
)


def google_vendor(parts: Sequence[bytes] = (*saying("Good", " day."),)) -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run a vendor that gives this answer, for the provider's own model."""
    malformed = event({"candidates": ["no candidate"]})
    return scripted_vendor(PATH, parts, refuse=refuse, base="/v1", malformed=malformed)
