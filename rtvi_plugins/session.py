"""What a bot, an action and an options function may know of a session, and do in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Annotated, Any, TypeAlias

from attrs import frozen
from attrs.validators import ge, le
from typing_extensions import Doc

from .clock import Clock
from .context import Context, Function, Message
from .errors import ProviderError
from .events import Event
from .kinds import Audio
from .utils.secrets import Secret

__all__ = (
    "ClientInfo",
    "FunctionCall",
    "Input",
    "Listener",
    "Playback",
    "RunLLM",
    "Say",
    "Secret",
    "Session",
    "Turn",
    "UserText",
    "VADParams",
)


@frozen
class ClientInfo:
    """Who is at the other end, as `client-ready` told it.

    `version` is the protocol version, `(0, 3, 0)` for a client that names none, as all 0.x clients do.
    """

    version: tuple[int, int, int] = (0, 3, 0)
    about: Mapping[str, Any] = {}


@frozen
class UserText:
    """The user said something. `run` asks for an answer at once, interrupting what is being said.

    `spoken_until` is when they stopped speaking, on the session's clock; None for what was typed.
    """

    text: str
    run: bool = True
    speak: bool = True
    spoken_until: float | None = None


@frozen
class RunLLM:
    """Somebody asks for an answer to the context as it is."""

    speak: bool = True


@frozen
class Say:
    """Have the bot say exactly this text.

    With `interruptible=False` it is said to its end: nothing but the end of the session cuts it short. What the user
    says or writes in the meantime is answered afterwards.
    """

    text: str
    interruptible: bool = True


#: What a conversation loop is fed with.
Input: TypeAlias = UserText | RunLLM | Say


@frozen
class VADParams:
    """When speech begins and ends. The names are those that published clients send as the option `params` of a VAD.

    A frame counts as speech when the VAD gives it at least the probability `confidence` and it is at least as loud as
    `min_volume` (root mean square, 1 is full scale). `start_secs` of speech in a row begin it, `stop_secs` of silence
    end it.
    """

    confidence: Annotated[float, ge(0), le(1), Doc("The least probability that counts as speech.")] = 0.5
    start_secs: Annotated[float, ge(0), le(5), Doc("Seconds of speech that begin it.")] = 0.1
    stop_secs: Annotated[float, ge(0.05), le(10), Doc("Seconds of silence that end it.")] = 0.5
    min_volume: Annotated[float, ge(0), le(1), Doc("The least loudness of speech, where 1 is full scale.")] = 0.0


class Listener(ABC):
    """Takes what the user says. It is called as the audio arrives, so it must neither block nor raise."""

    @abstractmethod
    def hear(self, audio: Audio) -> None:
        """Take a piece of what the microphone recorded: 16 kHz, mono, of any length."""

    @abstractmethod
    def microphone(self, enabled: bool) -> None:
        """The user has switched the microphone on or off. Not every client tells."""

    def close(self) -> None:  # noqa: B027 - a listener that has nothing to finish needs none
        """Finish what was heard: the session ends, or nobody listens any more. What is emitted here is still sent."""


class Playback(ABC):
    """The audio of one turn. It is made ahead and played in real time."""

    @abstractmethod
    def play(self, audio: Audio) -> None:
        """Play this after the audio before it. Once the turn is interrupted, nothing is played.

        `RuntimeError` in a session without audio.
        """

    @abstractmethod
    def flush(self) -> None:
        """End an utterance: the rest of its audio, less than a frame, is filled with silence and played too."""

    @abstractmethod
    async def room(self) -> None:
        """Wait until the playback buffer has space."""

    @abstractmethod
    async def played(self) -> None:
        """Wait until the user has heard all audio that was given to `play`."""

    @property
    @abstractmethod
    def given(self) -> float:
        """The seconds of audio that were given to `play`, with the silence that `flush` added."""

    @property
    @abstractmethod
    def heard(self) -> float:
        """The seconds of audio that the user has heard, as far as the server can know."""

    @abstractmethod
    def on_heard(self, callback: Callable[[float], None]) -> None:
        """Call `callback` with the seconds heard so far, as audio is played. It must not block or raise."""


class Turn(Playback):
    """One answer of the bot, from its beginning to its end or interruption."""

    #: The number of the turn within its session.
    epoch: int

    @property
    @abstractmethod
    def messages(self) -> Sequence[Message]:
        """The messages that were there when the turn began, and those that the turn has added."""

    @property
    @abstractmethod
    def superseded(self) -> bool:
        """Whether the context was replaced since the turn began. Messages that the turn adds then are dropped."""

    @abstractmethod
    def remember(self, *messages: Message) -> None:
        """Add messages of this turn to the context, before all messages that others have added since it began."""

    @property
    @abstractmethod
    def interrupted(self) -> bool:
        """Whether this turn was interrupted."""


class FunctionCall(ABC):
    """A function that is being carried out: by the bot, if it is an action of its own, else by the client."""

    id: str

    @abstractmethod
    async def result(self) -> Any:
        """Wait for the result, any JSON value. Raise `FunctionCallFailed` when there is none.

        If you are cancelled while you wait, call `leave`.
        """

    @abstractmethod
    def leave(self, then: Callable[[Any], None]) -> Any:
        """Stop waiting, because the turn was interrupted; return the JSON value that the LLM reads for now.

        That is the result where there is one; else what is known of the call: that it goes on, was cancelled, or may
        or may not have taken effect. If a result comes later, `then` is called with it once, in its JSON form; it must
        neither block nor raise.
        """


class Session(ABC):
    """One client's session with a bot. Given to bots, actions and options functions; never made by them."""

    id: str
    #: The conversation so far.
    context: Context
    #: What the start request carried besides services and config: the application's own fields.
    start_data: Mapping[str, Any]
    #: The time that all of this goes by; in tests it stands still until it is moved.
    clock: Clock
    #: When speech begins and ends, as the options of the VAD say.
    vad_params: VADParams
    #: Whether the session was started for actions of a client that is not connected, and ends with their answers.
    single_turn: bool

    @property
    @abstractmethod
    def has_audio(self) -> bool:
        """Whether the client's transport carries audio. Known once the bot's function is called."""

    @abstractmethod
    def listening(self, listener: Listener) -> AbstractContextManager[None]:
        """Have `listener` hear the user. One at a time; without audio it hears nothing."""

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
        """Tell the client, in the spelling of its generation, or not at all where it has no word for it.

        `TypeError` for an event that JSON cannot carry.
        """

    @abstractmethod
    def send(self, data: Any) -> None:
        """Send a `server-message` with this JSON value.

        `TypeError` for a value that JSON cannot carry, `ValueError` for one longer than `Limits.outbox_size`.
        """

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
    def amend(self, message: Message, more: str) -> bool:
        """Add words to the last message of the context, if it is this very one; plugins are told of what was added.

        Returns whether it was.
        """

    @property
    @abstractmethod
    def functions(self) -> Sequence[Function]:
        """The functions that the LLM may call: the bot's own actions that it grants, then those of the client."""

    @abstractmethod
    async def call_function(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> Any:
        """Have a function carried out, by the bot if the action is its own, else by the client; return its result.

        Any JSON value. Raise `FunctionCallFailed` when no result comes within `Limits.function_seconds`, or when the
        action fails. When it is cancelled, an action of the bot's goes on, unless it is declared `finish=False`.
        """

    @abstractmethod
    def begin_call(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> FunctionCall:
        """Begin what `call_function` does, and return the call at once.

        Raise `FunctionCallFailed` where a call of this id is running, or too many calls are, and `TypeError` for
        arguments that are no mapping, or that JSON cannot carry.
        """

    @abstractmethod
    def submit(self, input: Input) -> None:
        """Feed the conversation. `NoConversation` when the bot does not hold one, `Busy` when it is fed too fast."""

    @abstractmethod
    def inputs(self) -> AsyncIterator[Input]:
        """What the conversation is fed with, in order. One loop at a time may read it; `converse` does."""

    @abstractmethod
    def turn(self, *, interruptible: bool = True) -> AbstractAsyncContextManager[Turn]:
        """Hold one turn: changes of config that waited for the edge are made, and `interrupt` cancels its body.

        Nothing but the end of the session cancels a turn that is not `interruptible`.
        """

    @abstractmethod
    def interrupt(self) -> bool:
        """Cut short what is being said, and forget what was still to be said. Returns whether a turn was cut short.

        A turn that is not interruptible goes on, and a `Say` that is not interruptible is still said.
        """

    @abstractmethod
    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        """Fill a service with another provider that the bot names, at the turn's edge or at once."""

    @property
    @abstractmethod
    def closing(self) -> bool:
        """Whether `close` was called. The session ends when what is being said was heard."""

    @abstractmethod
    def close(self, reason: str = "", *, now: bool = False) -> None:
        """End the session: everything it opened is closed, every pending request is answered.

        What is being said, and all that was submitted before, is heard first (without audio, sent), for at most
        `Limits.goodbye_seconds`; nothing more can be submitted (`SessionClosed`). With `now=True` it ends at once.
        """
