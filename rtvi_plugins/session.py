"""The session, as bots, actions and options functions see it.

The module has more than 300 lines because it is one interface, and most of it is documentation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Annotated, Any, Generic, TypeAlias, overload

from attrs import field, frozen
from attrs.validators import ge, le
from typing_extensions import Doc, TypeVar

from .clock import Clock, Timer
from .context import Context, Function, Message
from .errors import AuthorError, ProviderError, RequestError
from .events import Event
from .kinds import Audio
from .utils.secrets import Secret

__all__ = (
    "Alternatives",
    "ClientInfo",
    "FunctionCall",
    "Input",
    "Listener",
    "Persona",
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
    """The client's description of itself in `client-ready`.

    `version` is the protocol version. It is `(0, 3, 0)` for a client that sends none, as all 0.x clients do.
    """

    version: tuple[int, int, int] = (0, 3, 0)
    about: Mapping[str, Any] = {}


@frozen
class UserText:
    """A text that the user spoke or typed. `run` interrupts the bot, and asks for an answer at once.

    `spoken_until` is the time at which the user stopped speaking, on the session's clock. It is None for a typed text.
    """

    text: str
    run: bool = True
    speak: bool = True
    spoken_until: float | None = None


@frozen
class RunLLM:
    """A request to answer the context as it is."""

    speak: bool = True


@frozen
class Say:
    """A text that the bot says word for word.

    With `interruptible=False`, only the end of the session or a lost connection interrupts it. What the user says or
    writes in the meantime is answered afterwards. If the client comes back, a text that was cut short is said again.
    """

    text: str
    interruptible: bool = True


#: An input of a conversation loop.
Input: TypeAlias = UserText | RunLLM | Say


def _tuple_of_names(names: Sequence[str] | None) -> Sequence[str] | None:
    given: Any = names
    if given is not None and (isinstance(given, str) or not all(isinstance(each, str) for each in given)):
        raise AuthorError(f"Persona(functions={given!r}): give a list of the functions' names.")
    return None if names is None else tuple(each.removeprefix("bot:") for each in names)


@frozen
class Persona:
    """A role that the bot takes with `Session.hand_over`: a prompt, functions, options, and a first text.

    `prompt` becomes the system message; None keeps the present one. `functions` names the functions that the LLM may
    call, of those that the bot grants and the client offers; None allows all. An action of the bot may be written
    `"bot:order"`, as in `@bot(functions=…)`, or `"order"`. `config` has options by service, as for
    `Session.configure`. The bot says `greeting` first; if it is empty, the LLM answers the conversation.
    """

    prompt: str | None = None
    functions: Sequence[str] | None = field(default=None, converter=_tuple_of_names)
    config: Mapping[str, Mapping[str, Any]] = field(factory=dict[str, Mapping[str, Any]])
    greeting: str | Say = ""


@frozen
class VADParams:
    """When speech starts and ends. Published clients send these names in the option `params` of a VAD.

    A frame is speech if the VAD returns at least the probability `confidence` for it, and if it is at least as loud as
    `min_volume` (root mean square; 1 is full scale). Speech starts after `start_secs` of such frames in a row, and ends
    after `stop_secs` of silence.
    """

    confidence: Annotated[float, ge(0), le(1), Doc("The least probability that counts as speech.")] = 0.5
    start_secs: Annotated[float, ge(0), le(5), Doc("Seconds of speech that begin it.")] = 0.1
    stop_secs: Annotated[float, ge(0.05), le(10), Doc("Seconds of silence that end it.")] = 0.5
    min_volume: Annotated[float, ge(0), le(1), Doc("The least loudness of speech, where 1 is full scale.")] = 0.0


class Listener(ABC):
    """Receives the user's audio as it arrives. Its methods must neither block nor raise."""

    @abstractmethod
    def hear(self, audio: Audio) -> None:
        """Receive a piece of audio of any length: 16 kHz, mono."""

    def microphone(self, enabled: bool) -> None:  # noqa: B027 - most listeners need none
        """Note that the user switched the microphone on or off. Not every client reports it."""

    def unsubmitted(self, *, interim: bool) -> Sequence[Input]:
        """Return the inputs that are still to be submitted for what the user has said.

        A session that is saved keeps them, in case it continues in another process. `interim` is true when it moves
        there: then words that may still change count too.
        """
        return ()

    def close(self) -> None:  # noqa: B027 - a listener that has nothing to finish needs none
        """Finish: the session ends, or the listening does. Events that are emitted here are still sent."""


class Playback(ABC):
    """The audio of one turn. It is made ahead and played in real time."""

    @abstractmethod
    def play(self, audio: Audio) -> None:
        """Play this after the audio before it. Once the turn is interrupted, nothing is played.

        Raise `RuntimeError` in a session without audio.
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
        """Return the seconds of audio that `play` received, including the silence that `flush` added."""

    @property
    @abstractmethod
    def heard(self) -> float:
        """Return the seconds of audio that the user has heard, as far as the server can know."""

    @abstractmethod
    def on_heard(self, callback: Callable[[float], None]) -> None:
        """Call `callback` with the seconds that were heard, whenever audio is played. It must not block or raise."""


class Turn(Playback):
    """One answer of the bot, from its beginning to its end or interruption."""

    #: The number of the turn within its session.
    number: int
    #: Whether another persona continues with the answer in a turn of its own. `converse` sets it.
    handed_over: bool = False

    @property
    @abstractmethod
    def messages(self) -> Sequence[Message]:
        """Return the messages from before the turn, and those that the turn has added."""

    @property
    @abstractmethod
    def superseded(self) -> bool:
        """Return whether the context was replaced since the turn began. Further messages are then dropped."""

    @abstractmethod
    def remember(self, *messages: Message) -> None:
        """Add messages of this turn to the context, before all messages that others have added since it began."""

    @property
    @abstractmethod
    def interrupted(self) -> bool:
        """Return whether this turn was interrupted."""


class FunctionCall(ABC):
    """A function call that is in progress. The bot runs its own actions; the client runs the others."""

    id: str

    @abstractmethod
    async def result(self) -> Any:
        """Wait for the result, any JSON value. Raise `FunctionCallFailed` when there is none.

        If you are cancelled while you wait, call `leave`.
        """

    @abstractmethod
    def leave(self, then: Callable[[Any], None]) -> Any:
        """Stop waiting, because the turn was interrupted. Return the JSON value that the LLM reads for now.

        That is the result, if there is one. Otherwise it is the state of the call: it continues, it was cancelled, or
        it may or may not have taken effect. If a result comes later, `then` is called once with its JSON form. `then`
        must neither block nor raise.
        """


class Alternatives(ABC):
    """The providers of a service that take over when one fails, for one use of the service. See `Failover`.

    Call `choose` before you use the service, `answered` with its first output, and `failed` when it raises. The service
    that the bot has received then forwards to the provider that serves. Without a `Failover`, these methods do nothing.
    """

    @property
    def provider(self) -> str | None:
        """Return the name of the provider that serves now, also within a turn. Return None if it is not known."""
        return None

    @property
    @abstractmethod
    def exist(self) -> bool:
        """Return whether the service has a `Failover`."""

    @property
    def seconds(self) -> float | None:
        """Return how long the present provider may send nothing before its first output.

        Return None if no other provider is left to take over: then the caller decides.
        """
        return None

    async def choose(self) -> None:  # noqa: B027 - without a `Failover` nothing is chosen
        """Let the first provider serve that works. It is opened if it is not open yet.

        In the same use, later calls change nothing, unless the present provider has failed.
        """

    async def failed(self, error: ProviderError, *, replace: bool = True) -> bool:
        """Note a failure, and let the next provider serve. Return whether one does, which gets the request again.

        Pass `replace=False` if the user has received a part of the output. A failure of the category "bad-request"
        changes nothing.
        """
        return False

    def answered(self) -> None:  # noqa: B027 - without a `Failover` nothing is noted
        """Note that the present provider works."""


#: The class of a session's state. `Session` alone is a session with any state.
State = TypeVar("State", default=Any)


class Session(ABC, Generic[State]):
    """The session of one client. Bots, actions and options functions receive it.

    Attributes:
        id (str): The id of the session, as in the log and in the names of recordings.
        context (Context): The conversation.
        start_data (Mapping[str, Any]): The application's own fields of the start request: all but services and config.
        clock (Clock): The clock of the session. In tests it stands still until it is moved.
        vad_params (VADParams): When speech starts and ends, from the options of the VAD.
        single_turn (bool): Whether the session only runs the actions of one HTTP request, without a connected client.
        persona (Persona | None): The persona of the last `hand_over`; None before.
        resumed (bool): Whether the session is restored: it began in another process. The bot's function is called
            again, although the user was greeted already.
    """

    id: str
    context: Context
    start_data: Mapping[str, Any]
    clock: Clock
    vad_params: VADParams
    single_turn: bool
    persona: Persona | None
    resumed: bool

    @property
    @abstractmethod
    def state(self) -> State:
        """Return the state of the session, an object of the class in `@bot(state=…)`.

        It begins with the defaults. It may be changed in place, or replaced by another object of the class. Raise
        `RuntimeError` if the bot declares no state.
        """

    @state.setter
    @abstractmethod
    def state(self, value: State) -> None: ...

    @property
    @abstractmethod
    def has_audio(self) -> bool:
        """Return whether the client's transport carries audio. Known once the bot's function is called."""

    @property
    @abstractmethod
    def hears_audio(self) -> bool:
        """Return whether the transport carries the user's audio. A few carry it although `has_audio` is false.

        The bot then hears the user, and answers in text.
        """

    @abstractmethod
    def listening(self, listener: Listener | Callable[[Audio], None]) -> AbstractContextManager[None]:
        """Pass the user's audio to a `Listener`, or to a function, which is called as `Listener.hear` is.

        One at a time may listen. In a session without audio it receives nothing.
        """

    @property
    @abstractmethod
    def client(self) -> ClientInfo:
        """Return the client's description of itself. Before the client is ready, it is that of the oldest client."""

    @property
    @abstractmethod
    def providers(self) -> Mapping[str, str]:
        """Return the provider that serves each service now. With a `Failover`, it may be another than was chosen."""

    @overload
    def config(self) -> Mapping[str, Mapping[str, Any]]: ...
    @overload
    def config(self, service: str) -> Mapping[str, Any]: ...
    @abstractmethod
    def config(self, service: str | None = None) -> Mapping[str, Any]:
        """Return the values of a service's options, or of all options by service, as a read-only copy.

        Changing it, or a part of it, raises `TypeError`. Raise `BotError` for an unknown service.
        """

    @overload
    async def configure(self, service: str, /, *, interrupt: bool = ..., **options: Any) -> None: ...
    @overload
    async def configure(self, config: Mapping[str, Mapping[str, Any]], /, *, interrupt: bool = ...) -> None: ...
    @abstractmethod
    async def configure(
        self, service: str | Mapping[str, Mapping[str, Any]], /, *, interrupt: bool = False, **options: Any
    ) -> None:
        """Set options of a service, or of several at once in a mapping by service: all of them, or none.

        The values are checked as those of a client are, but the bot needs no grant. `provider` switches the provider.
        Options under `"tts.espeak"` count while `espeak` is the provider of `tts`. The client receives the new config.
        A turn that is running ends with the old values; `interrupt` ends it now.

        Raise `BotError` with every problem of the names and values, `TypeError` for a value that JSON cannot carry, and
        `RequestError` if an options function refuses a value, a provider cannot be opened, or the session has ended.
        """

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Send an event to the client, in the form that its protocol version has for it. Some versions have none.

        Raise `TypeError` for what is not an event, or one that JSON cannot carry.
        """

    @abstractmethod
    def send(self, data: Any) -> None:
        """Send a `server-message` with this JSON value.

        Raise `TypeError` for a value that JSON cannot carry, `ValueError` for one longer than `Limits.outbox_size`.
        """

    @abstractmethod
    def fail(self, error: ProviderError | RequestError) -> None:
        """Report a failure to the client, such as a provider's, as an `error` that is not fatal."""

    @abstractmethod
    def progress(self, data: Any) -> None:
        """Send the progress of the background job that runs. Raise `RuntimeError` outside of a job."""

    @abstractmethod
    def cancel_job(self, job: str) -> bool:
        """Cancel a background job by its id. Return False when no job of this id runs."""

    @abstractmethod
    def remember(self, *messages: Message, before: Message | None = None) -> None:
        """Add messages to the context, and call the hook `transcript`.

        They come last, or before the message `before` if the context has it. Raise `TypeError` if one is not a
        message in JSON.
        """

    @abstractmethod
    def amend(self, message: Message, more: str) -> bool:
        """Add words to `message` if it is the last one of the context, and call the hook `transcript` with them.

        Return whether it was the last one.
        """

    @property
    @abstractmethod
    def functions(self) -> Sequence[Function]:
        """Return the functions that the LLM may call: first the actions that the bot grants, then the client's."""

    @abstractmethod
    async def call_function(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> Any:
        """Call a function of the bot or, if it has no such action, of the client. Return the result, any JSON value.

        Raise `FunctionCallFailed` when the action fails, or when no result comes within `Limits.function_seconds`. If
        you cancel this, an action of the bot continues, unless it is declared with `finish=False`.
        """

    @abstractmethod
    def begin_call(self, name: str, arguments: Mapping[str, Any], *, id: str | None = None) -> FunctionCall:
        """Start a call as `call_function` does, and return it at once.

        Raise `FunctionCallFailed` if a call with this id or too many calls are running. Raise `TypeError` for arguments
        that are not a mapping, or that JSON cannot carry.
        """

    @abstractmethod
    def submit(self, input: Input) -> None:
        """Add an input for the conversation loop.

        Raise `NoConversation` if the bot has no such loop, `Busy` if too many inputs wait, `ContextFull` if the
        conversation has reached `Limits.context_size`, and `SessionClosed` if the session is ending or has ended.
        """

    @abstractmethod
    def inputs(self) -> AsyncIterator[Input]:
        """Iterate over the inputs, in order. One loop at a time may do so; `converse` does.

        With audio, inputs wait while the client's connection is lost.
        """

    @abstractmethod
    def turn(self, *, interruptible: bool = True) -> AbstractAsyncContextManager[Turn]:
        """Hold one turn. Deferred config changes are applied before and after it. `interrupt` cancels the block.

        With audio, a lost connection cancels the block too, and the next turn waits until the client is back. Apart
        from that, only the end of the session cancels a turn that is not `interruptible`.
        """

    @abstractmethod
    def interrupt(self) -> bool:
        """Interrupt the turn, and discard each `Say` that waits. Return whether a turn was interrupted.

        Turns and `Say`s that are not interruptible continue.
        """

    @abstractmethod
    async def spoken(self) -> bool:
        """Wait until the bot has finished its turn and all inputs submitted before.

        If the bot is silent, wait for its next turn. Return True if the user has heard all of it, False if any of it
        was interrupted or dropped. Inputs that are submitted later do not change the result. Text that is not spoken
        counts as heard when it is sent. Raise `AuthorError` in a function that the LLM calls: the turn waits for that
        function.
        """

    @abstractmethod
    def call_after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after this many seconds, on the session's clock. It must neither block nor raise.

        A coroutine function is not awaited: `session.call_after(5, lambda: session.start_soon(function))` runs it.
        Raise `AuthorError` for a coroutine function, and for a coroutine.
        It is not called any more once the session is closing or has ended. Until it is called, the session does not end
        for being idle (`Limits.idle_seconds`). Return the timer, which can be cancelled.
        """

    @abstractmethod
    async def switch(self, service: str, provider: str, *, interrupt: bool = False) -> None:
        """Switch a service to another provider that the bot names: `configure(service, provider=provider)`."""

    @abstractmethod
    def alternatives(self, service: object) -> Alternatives:
        """Return the alternatives of a service, for one use of it. `service` is what the bot received, or its name.

        `converse` uses them. Your own loop must use them if the bot's services have a `Failover`.
        """

    @abstractmethod
    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Run a coroutine function in a task of the session. Hooks and timers, which cannot wait, use it.

        The end of the session cancels the task. An exception is logged, and ends nothing else. Raise `SessionClosed` if
        the session has ended, `RuntimeError` while its services are opening, and `AuthorError` for a coroutine instead
        of a function.
        """

    @abstractmethod
    async def hand_over(self, persona: Persona, *, keep_context: bool = True, interrupt: bool = False) -> None:
        """Let another persona speak: set its options, its prompt and its functions, and submit its first turn.

        A turn that is running ends first, with the old voice; the LLM is not asked again in it. `interrupt` ends it
        now. With `keep_context=False`, the old conversation is dropped. Raise `AuthorError` for an unknown function,
        `RequestError` for invalid options, and what `submit` raises. Then nothing is changed.
        """

    @property
    @abstractmethod
    def closing(self) -> bool:
        """Return whether `close` was called. The session ends after the bot's current speech, or has ended."""

    @abstractmethod
    def close(self, reason: str = "", *, now: bool = False) -> None:
        """End the session: answer every pending request, and close all services.

        By default it ends after the user has heard the bot's speech and everything submitted before, but no later than
        after `Limits.goodbye_seconds`. Without audio, it ends when these were sent. Nothing more can be submitted in
        the meantime (`SessionClosed`). With `now=True` it ends at once.
        """
