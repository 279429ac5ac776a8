"""The messages on the data channel that are not RTVI, in the form of the published client."""

from __future__ import annotations

from typing import Any, Final, cast

import orjson

from rtvi_plugins.errors import MessageTooLarge

__all__ = ("PONG", "peer_left", "read_signalling", "too_long_response")

#: Answers a ping of this form, by which a client checks its connection. Published clients send pings of another form.
PONG: Final = '{"type":"signalling","message":{"type":"pong"}}'

# A signalling message has some hundred characters. RTVI messages are not read twice.
_TYPE: Final = '"signalling"'
_LONGEST: Final = 1_000
#: The session continues in another process, or its process ends.
_RESTART: Final = 1012


def read_signalling(text: str) -> dict[str, Any] | None:
    """Return the content of a signalling message; None for any other message."""
    if len(text) > _LONGEST or _TYPE not in text:
        return None
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    envelope = cast("dict[str, Any]", found)
    if envelope.get("type") != "signalling" or "label" in envelope:
        return None
    message: Any = envelope.get("message")
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}


def peer_left(code: int) -> str:
    """Return the last message to a client. `code` is the close code that a WebSocket would have."""
    message: dict[str, Any] = {"type": "peerLeft"} | ({"code": code} if code == _RESTART else {})
    return orjson.dumps({"type": "signalling", "message": message}).decode()


def too_long_response(text: str) -> str | None:
    """Return the error for an answer that is too long for the client; None if the message is not an answer."""
    message: dict[str, Any] = orjson.loads(text)
    if not isinstance(id := message.get("id"), str):
        return None
    sentence = "The answer is longer than this client accepts over WebRTC; ask for less, or use the WebSocket."
    data = MessageTooLarge(sentence).to_json()
    return orjson.dumps({"label": "rtvi-ai", "type": "error-response", "id": id, "data": data}).decode()
