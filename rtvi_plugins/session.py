"""What a bot, an action and an options function may know of a session, and do in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from attrs import frozen

from ._secret import Secret
from .context import Context, Message
from .errors import ProviderError
from .events import Event

__all__ = ("ClientInfo", "Input", "RunLLM", "Say", "Secret", "Session", "Turn", "UserText")


@frozen
class ClientInfo:
    """Who is at the other end, as `client-ready` told it.

    `version` is the protocol version, `(0, 3, 0)` for a client that names none, as all 0.x clients do.
    """

    version: tuple[int, int, int] = (0, 3, 0)
    about: Mapping[str, Any] = {}


@frozen
class UserText:
    """The user wrote something. `run` asks for an answer at once, interrupting what is being said."""

    text: str
    run: bool = True
    speak: bool = True


@frozen
class RunLLM:
    """Somebody asks for an answer to the context as it is."""

    speak: bool = True


@frozen
class Say:
    """Somebody asks the bot to say exactly this."""

    text: str


#: What a conversation loop is fed with.
Input: TypeAlias = UserText | RunLLM | Say


class Turn(ABC):
    """One answer of the bot, from its beginning to its end or interruption."""

    #: Turns are counted within a session.
    epoch: int

    @property
    @abstractmethod
    def messages(self) -> Sequence[Message]:
        """The conversation as this turn sees it: what was there when it began, and what it has remembered since."""

    @property
    @abstractmethod
    def superseded(self) -> bool:
        """Whether the context was replaced since the turn began; what it remembers then is not kept."""

    @abstractmethod
    def remember(self, *messages: Message) -> None:
        """Add messages of this turn to the context, before all that others have added since it began."""

    @property
    @abstractmethod
    def interrupted(self) -> bool:
        """Whether somebody interrupted this turn."""


class Session(ABC):
    """One client's session with a bot. Given to bots, actions and options functions; never made by them."""

    id: str
    #: The conversation so far.
    context: Context
    #: What the start request carried besides services and config: the application's own fields.
    start_data: Mapping[str, Any]

    @property
    @abstractmethod
    def client(self) -> ClientInfo:
        """Who is at the other end. Before the client is ready, the oldest that there is."""

    @property
    @abstractmethod
    def providers(self) -> Mapping[str, str]:
        """The provider that fills each service now."""

    @abstractmethod
    def config(self, service: str) -> Mapping[str, Any]:
        """The values in force of a service's options."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Tell the client, in the spelling of its generation, or not at all where it has no word for it."""

    @abstractmethod
    def send(self, data: Any) -> None:
        """Send a `server-message` with this JSON value. `TypeError` for a value that JSON cannot carry."""

    @abstractmethod
    def fail(self, error: ProviderError) -> None:
        """Tell the client of a vendor's failure, as an `error` that is not fatal."""

    @abstractmethod
    def progress(self, data: Any) -> None:
        """Report on the long action that is running. `RuntimeError` outside of one."""

    @abstractmethod
    def cancel_job(self, job: str) -> bool:
        """Cancel a long action by the id of its job; False when there is none running under it."""

    @abstractmethod
    def remember(self, *messages: Message) -> None:
        """Add messages to the context; plugins that listen for transcripts are told."""

    @abstractmethod
    async def call_function(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> Any:
        """Have the client carry out a function; returns its result, any JSON value.

        `FunctionCallFailed` when no result comes within `Limits.function_seconds`.
        """

    @abstractmethod
    def submit(self, input: Input) -> None:
        """Feed the conversation. `NoConversation` when the bot does not hold one, `Busy` when it is fed too fast."""

    @abstractmethod
    def inputs(self) -> AsyncIterator[Input]:
        """What the conversation is fed with, in order. One loop at a time may read it; `converse` does."""

    @abstractmethod
    def turn(self) -> AbstractAsyncContextManager[Turn]:
        """Hold one turn: changes of config that waited for the edge are made, and `interrupt` cancels its body."""

    @abstractmethod
    def interrupt(self) -> bool:
        """Cut short what is being said. Returns whether there was anything to cut."""

    @abstractmethod
    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        """Fill a service with another provider that the bot names, at the turn's edge or at once."""

    @abstractmethod
    def close(self, reason: str = "") -> None:
        """End the session: everything it opened is closed, every pending request is answered."""
