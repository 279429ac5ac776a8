"""The operations that `RTVIProtocol.receive` returns. The runtime runs one for each message."""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import define, frozen

from ..session import ClientInfo, UserText
from .offer import OfferedAction
from .requests import Request

__all__ = (
    "CallAction",
    "ClientReady",
    "Disconnect",
    "FunctionResult",
    "Operation",
    "Reply",
    "SubmitText",
    "UpdateConfig",
)


@frozen
class Reply:
    """Send this answer."""

    text: str


@frozen
class ClientReady:
    """Start the bot. `text` is the `bot-ready` message to send.

    A client that has resumed its session also sends the ids of the requests that it waits for, and how many texts it
    has received since the last `bot-ready`, this one included. Others send neither.
    """

    client: ClientInfo
    text: str
    waiting: tuple[str, ...] | None = None
    received: int = 0


@define(eq=False)
class CallAction:
    """Run an action with arguments that were checked."""

    request: Request
    action: OfferedAction
    arguments: dict[str, Any]


@frozen(eq=False)
class UpdateConfig:
    """Change the config. Earlier changes may still be in progress, so `sent` is checked when its turn comes."""

    request: Request
    sent: Any
    interrupt: bool
    path: str


@frozen
class SubmitText:
    """Pass text that the user typed to the conversation."""

    id: str
    input: UserText


@frozen
class FunctionResult:
    """Return the result of a function that the client was asked to run."""

    id: str
    call: str
    result: Any


@frozen
class Disconnect:
    """End the session: the client asked the bot to leave."""


Operation: TypeAlias = "Reply | ClientReady | CallAction | UpdateConfig | SubmitText | FunctionResult | Disconnect"
