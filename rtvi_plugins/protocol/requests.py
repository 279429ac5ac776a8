"""The requests of one session: those that wait for their answer, and the operations that they ask for.

A request is in `pending` until `settle` removes it. Only the caller that removed it may answer it, so every request is
answered exactly once. The runtime runs one operation for each message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import define, frozen

from ..errors import Busy
from ..limits import Limits
from ..session import ClientInfo, UserText
from .offer import OfferedAction

__all__ = (
    "CallAction",
    "ClientReady",
    "Disconnect",
    "FunctionResult",
    "Operation",
    "Reply",
    "Request",
    "Requests",
    "SubmitText",
    "UpdateConfig",
)


@define(eq=False)
class Request:
    """A message that gets an answer. `t` is the type inside a `client-message`, for clients of 1.0 and later."""

    id: str
    type: str
    t: str | None = None
    #: When the request is answered with `action-timeout`, on the session's clock.
    due: float = 0.0
    #: Whether the request still waits for its answer.
    is_pending: bool = False
    #: Whether the request may be sent again if it was not finished in time.
    repeatable: bool = True
    #: The work of the runtime on the request, which is cancelled at the deadline.
    work: Any = None
    #: Called when the request is answered, with "ok" or the code of the error.
    answered: Callable[[str], None] | None = None


class Requests:
    """The pending requests of one session, by id."""

    __slots__ = ("_deadline", "_most_pending", "pending")

    def __init__(self, limits: Limits) -> None:
        self.pending: dict[str, Request] = {}
        self._most_pending, self._deadline = limits.in_flight, limits.deadline

    def open(self, request: Request, now: float, seconds: float | None = None) -> Request:
        """Make a request pending for this many seconds, or until the session's deadline if that is earlier.

        Raise `Busy` when too many requests are pending. A request that was pending before keeps its earlier deadline.
        """
        if len(self.pending) >= self._most_pending:
            raise self.busy()
        due = now + (self._deadline if seconds is None or seconds > self._deadline else seconds)
        request.due = min(due, request.due) if request.due else due
        self.pending[request.id] = request
        request.is_pending = True
        return request

    def settle(self, request: Request) -> bool:
        """Remove a request before it is answered. Return False if it was answered already."""
        if not request.is_pending:
            return False
        request.is_pending = False
        del self.pending[request.id]
        return True

    def busy(self) -> Busy:
        """Return the error for a session with too many pending requests."""
        return Busy(f"{self._most_pending} requests of this session are pending; send again later.")


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
    #: The arguments as they were sent, and their JSON path in the message.
    sent: Any
    path: str

    def path_of(self, name: str) -> str:
        """Return the JSON path of an argument in the message. It is found only for an error: most calls have none."""
        if self.action.spec.message is not None and self.action.spec.message == self.request.t:
            return self.path  # the data of the message is the argument
        return self.action.binder.path_of(self.sent, self.path, name)


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
