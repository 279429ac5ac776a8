"""The messages that are measured. Standard library only: it also runs in the environments of peers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TEXT = "Hello, world!"


def message(type: str, data: Any, id: str = "@00000001@") -> str:
    """The JSON text of an RTVI message. Ids have one width, so that a load generator finds them."""
    return json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data}, separators=(",", ":"))


def call(service: str, action: str, arguments: Mapping[str, Any], id: str = "@00000001@") -> str:
    """A message that calls an action."""
    sent = [{"name": name, "value": value} for name, value in arguments.items()]
    return message("action", {"service": service, "action": action, "arguments": sent}, id)


def client_message(id: str = "@00000001@") -> str:
    """RTVI 2's message that asks a bot for the same as `SAY`; pipecat's newer versions answer no actions."""
    return message("client-message", {"t": "tts:say", "d": {"text": TEXT, "interrupt": False}}, id)


SAY = call("tts", "say", {"text": TEXT, "interrupt": False})
READY = message("client-ready", {"version": "0.4.0", "about": {"library": "bench"}}, "ready")
DESCRIBE = message("describe-actions", {})
