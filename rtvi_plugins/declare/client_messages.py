"""The types of `client-message` that actions of a bot handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DeclarationError
from ..utils.json_values import json_problem
from .specs import AnyFunction, Parameter

__all__ = ("PROTOCOL_TYPES", "check_message")

#: The types of message that the protocol itself reads. No action can handle one of them.
PROTOCOL_TYPES = (
    "client-ready",
    "describe-actions",
    "describe-config",
    "get-config",
    "update-config",
    "action",
    "client-message",
    "send-text",
    "append-to-context",
    "llm-function-call-result",
    "disconnect-bot",
)


def check_message(function: AnyFunction, message: Any, sent: Mapping[str, Parameter], of_bot: bool) -> None:
    """Reject an invalid `message=` of an action, and one whose data has no single argument."""
    if message is None:
        return
    if not isinstance(message, str) or not message or json_problem(message) is not None:
        problem = f"has message={message!r}, which is no type of a message. Write a text, as in message='set-language'."
    elif not of_bot:
        problem = "has message=, which only an action of a bot has. Write @action(mybot, message=…), or remove it."
    elif message in PROTOCOL_TYPES:
        problem = f"has message={message!r}, which is a type of the protocol itself. Choose another."
    elif len(sent) > 1:
        problem = f"has message=, so it takes one argument, the data of the message, not {len(sent)}: {list(sent)}. "
        problem += "Write one argument of an attrs class or a TypedDict."
    else:
        return
    raise DeclarationError(function, problem)
