"""The kinds of services: a Protocol for each built-in kind, and `Kind` for new ones.

Every operation takes one frozen request and yields typed pieces. So a request or a piece can get a new field without
breaking a provider. Operations are streams and may be cancelled at any `await`. A provider stores nothing of the
conversation: the context belongs to the session, so the provider can be replaced during the conversation.

The module has more than 300 lines because each kind is next to its requests and pieces.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, TypeAlias, cast, runtime_checkable

from attrs import Attribute, field, frozen
from attrs.validators import instance_of, optional
from typing_extensions import get_protocol_members, is_protocol

from .context import Function, Message, MessageWithThoughts
from .errors import AuthorError, DeclarationError
from .utils.error_texts import authors_line, shorten
from .utils.json_values import describe_json, is_object
from .utils.names import is_valid_name

__all__ = (
    "BUILTIN_KINDS",
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "Added",
    "AnswerEnded",
    "Audio",
    "ChecksKey",
    "FunctionResult",
    "Heard",
    "Kind",
    "LLMPiece",
    "LLMRequest",
    "ListenPiece",
    "ListenRequest",
    "ListeningSTT",
    "Pause",
    "Respond",
    "STTPiece",
    "STTRequest",
    "Settled",
    "SpeechBegan",
    "SpeechEnded",
    "SpeechInput",
    "SpeechModel",
    "SpeechPiece",
    "SpeechRequest",
    "TTSPiece",
    "TTSRequest",
    "Text",
    "Thought",
    "ToolCall",
    "Transcript",
    "Typed",
    "Usage",
    "Word",
    "kind_of",
    "thoughts_of",
)


_BUILTIN = ("llm", "stt", "tts", "vad", "speech")


@frozen
class Kind:
    """A kind of service that a plugin defines: its name, and the Protocol that its providers implement.

    Keep it in a variable of the module that defines the Protocol: `AVATAR = Kind("avatar", Avatar)`. Providers write
    `@service(AVATAR, "acme")`. A bot has a parameter `avatar: Avatar`; the framework then finds the kind in the module
    of `Avatar`.
    """

    name: str
    protocol: type

    def __attrs_post_init__(self) -> None:
        """Raise `DeclarationError` with the author's line if the name or the Protocol is invalid."""
        if (problem := self._problem()) is not None:
            raise DeclarationError(None, f"Kind({self.name!r}, …) ({authors_line()}) {problem}")

    def _problem(self) -> str | None:
        name, protocol = cast("tuple[Any, Any]", (self.name, self.protocol))
        if not is_valid_name(name):
            return "needs a name that is a word of letters, digits, '-' and '_'."
        if name == "bot" or (name in _BUILTIN and getattr(protocol, "__module__", "") != __name__):
            return f"uses a name of the framework's own: {', '.join((*_BUILTIN, 'bot'))}. Choose another."
        if not isinstance(protocol, type) or not is_protocol(protocol):
            return "needs a Protocol, as in Kind('avatar', Avatar) beside class Avatar(Protocol)."
        if not getattr(protocol, "_is_runtime_protocol", False):
            return f"needs {protocol.__name__} to be under @runtime_checkable."
        if not get_protocol_members(protocol):
            return f"needs {protocol.__name__} to declare at least one method."
        return None


# ---- what a field of a piece may be ----------------------------------------------------------------------------------


class _InvalidField(AuthorError, ValueError):
    """A `ValueError`, as for other arguments, whose text is always logged."""


def _is_number(value: object) -> bool:
    # Each word of speech has two, and nearly all are plain floats.
    return type(value) is float or (isinstance(value, int | float) and not isinstance(value, bool))


#: What a field must be, in words, and as a test.
_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "a str": lambda value: isinstance(value, str),
    "True or False": lambda value: isinstance(value, bool),
    "a number of seconds from 0": lambda value: _is_number(value) and 0 <= value < math.inf,
    "a number from 0 to 1": lambda value: _is_number(value) and 0 <= value <= 1,
    "a whole number from 0": lambda value: _is_number(value) and isinstance(value, int) and value >= 0,
    "a list or tuple of Word": lambda value: (
        isinstance(value, Sequence) and all(isinstance(each, Word) for each in cast("Sequence[object]", value))
    ),
}


def _must_be(what: str, *, or_none: bool = False) -> Any:
    """Return a validator of attrs. Its error names the piece, the author's line, and what the field must be."""
    is_valid, wanted = _FIELDS[what], f"{what.replace(' or ', ', ')} or None" if or_none else what

    def validate(piece: object, attribute: Attribute[Any], value: Any) -> None:
        if not (is_valid(value) or (value is None and or_none)):
            shown = repr(value) if _is_number(value) else f"<{type(value).__name__}>"  # a text may be of the user
            found = f"{type(piece).__name__}({attribute.name}={shown}) ({authors_line()})"
            raise _InvalidField(f"{found}: {attribute.name} must be {wanted}.")

    return validate


@frozen
class Text:
    """A piece of an LLM's answer, to be shown and spoken as it comes. Pieces are joined without a separator.

    A text of another type raises `ValueError`.
    """

    text: str = field(validator=_must_be("a str"))


@frozen
class Thought:
    """A piece of an LLM's reasoning. It is neither shown nor spoken. The context keeps it for the same provider.

    Pieces are joined without a separator. One with `extra` (vendor data such as a signature, as JSON values) ends the
    thought. In later requests, `thoughts_of` returns the thoughts of a message.
    """

    text: str = field(validator=instance_of(str))
    extra: Mapping[str, Any] = field(factory=dict[str, Any])


def thoughts_of(message: Message) -> list[Thought]:
    """Return the thoughts that came before a message of the LLM, as its provider has yielded them, but joined.

    Messages of other providers have none, and neither has an answer that is not complete.
    """
    found = cast(MessageWithThoughts, message).get("thoughts", [])
    return [Thought(each["text"], each.get("extra", {})) for each in found]


@frozen
class ToolCall:
    """A function that the LLM calls. `id` is the vendor's, or made up by the provider; it is never empty.

    `problem` is a sentence for the LLM, set if its arguments are invalid. Such a call is not made. The LLM reads the
    sentence as the result, and may call again.

    `extra` is vendor data that must come back with the call, such as a signature, as JSON values. In later requests to
    the same provider, the call's entry of `tool_calls` has it as `extra`.
    """

    id: str = field(validator=instance_of(str))
    name: str = field(validator=instance_of(str))
    arguments: Mapping[str, Any]
    problem: str | None = field(default=None, validator=optional(instance_of(str)))
    extra: Mapping[str, Any] = field(factory=dict[str, Any])

    @classmethod
    def parse(
        cls, id: str, name: str, arguments: object, *, extra: Mapping[str, Any] = MappingProxyType({})
    ) -> ToolCall:
        """Return the call for a vendor's arguments: a JSON object, its text, or nothing.

        None, an empty text and the text `null` mean no arguments. JSON text inside a JSON string is read too, because
        some models write it. For all other values the call has a `problem`. A vendor's malformed call never raises.
        """
        read = arguments
        for _ in range(_ENCODED_AT_MOST):
            if isinstance(read, str):
                read = _json_in(read)
        if read is None or is_object(read):
            return cls(id, name, read or {}, extra=extra)
        return cls(id, name, {}, _not_an_object(arguments), extra)


@frozen
class Usage:
    """The usage of an operation, for billing. A count that the vendor does not report stays 0.

    `cached_tokens` are a part of `prompt_tokens`, and `reasoning_tokens` a part of `completion_tokens`. `seconds` is
    the length of the audio that a speech service charges for.
    """

    prompt_tokens: int = field(default=0, validator=instance_of(int))
    completion_tokens: int = field(default=0, validator=instance_of(int))
    characters: int = field(default=0, validator=instance_of(int))
    model: str | None = field(default=None, validator=optional(instance_of(str)))
    seconds: float = field(default=0.0, validator=instance_of((int, float)))
    cached_tokens: int = field(default=0, validator=instance_of(int))
    reasoning_tokens: int = field(default=0, validator=instance_of(int))


@frozen
class Audio:
    """16-bit signed little-endian PCM. `rate` in Hz; samples of several channels are interleaved."""

    data: bytes = field(repr=lambda data: f"<{len(data)} bytes>")
    rate: int
    channels: int = 1

    @property
    def seconds(self) -> float:
        return len(self.data) / (2 * self.rate * self.channels)


@frozen
class Word:
    """A word of speech, with the times of its start and end in seconds from the start of the operation's audio.

    A TTS yields the words in order, each before its audio is played. That may be long after the audio was made.

    A field of another type or a negative time raises `ValueError`.
    """

    text: str = field(validator=_must_be("a str"))
    start: float = field(validator=_must_be("a number of seconds from 0"))
    end: float | None = field(default=None, validator=_must_be("a number of seconds from 0", or_none=True))


@frozen
class Transcript:
    """The text of a user's speech. The next transcript replaces an interim one; a final one stays.

    `language` is a code such as "de" or "en-GB". `confidence` is from 0 to 1. `speaker` is the vendor's name for the
    voice. `ends_turn` says whether the vendor takes the user's turn to be over. All are None if the vendor does not
    report them. An end-of-turn function receives them.

    `utterance` is only for vendors that find the utterances themselves: the number of the `SpeechBegan` that the
    transcript belongs to, from 0 in each stream. None means the last one. So a transcript may come late.

    A field of another type or out of its range raises `ValueError`.
    """

    text: str = field(validator=_must_be("a str"))
    final: bool = field(validator=_must_be("True or False"))
    language: str | None = field(default=None, validator=_must_be("a str", or_none=True))
    words: Sequence[Word] = field(default=(), validator=_must_be("a list or tuple of Word"))
    speaker: str | None = field(default=None, validator=_must_be("a str", or_none=True))
    confidence: float | None = field(default=None, validator=_must_be("a number from 0 to 1", or_none=True))
    ends_turn: bool | None = field(default=None, validator=_must_be("True or False", or_none=True))
    utterance: int | None = field(default=None, validator=_must_be("a whole number from 0", or_none=True))


@frozen
class LLMRequest:
    """The whole conversation, in the order in which it happened, and the functions that the LLM may call.

    Messages have the keys of `rtvi_plugins.context.Message`, OpenAI's form; each function call is followed by its
    result. Functions have the keys of `rtvi_plugins.context.Function`: `name`, and perhaps `description` and
    `parameters`. They are not wrapped in `{"type": "function", …}`.

    `tool_choice` is "none", "auto", "required", or the name of the one function that the LLM must call. None is the
    vendor's default. A provider without this feature ignores it.

    `answer_schema` is a JSON Schema of type object. The text of the answer must be JSON that fits it. A provider
    without this feature raises `ProviderError` with the category "bad-request".
    """

    messages: Sequence[Message]
    functions: Sequence[Function] = ()
    tool_choice: str | None = None
    answer_schema: Mapping[str, Any] | None = None


@frozen
class TTSRequest:
    """The text to speak, as a stream of pieces. A provider may speak the first piece before it receives the last.

    `language` is the language of the user's last speech, if the STT reports it: a code such as "de" or "en-GB". It is a
    hint for voices that speak several languages. The provider's own options take precedence.
    """

    text: AsyncIterator[str]
    language: str | None = None


@frozen
class STTRequest:
    """The speech to recognise, as a live stream: one utterance, 16 kHz, mono, starting shortly before the speech."""

    audio: AsyncIterator[Audio]


@frozen
class Pause:
    """The user has stopped speaking: process the audio that has come. An STT answers with `Settled`."""


@frozen
class Settled:
    """The answer to `Pause`: every transcript of the audio before it was yielded."""


@frozen
class SpeechBegan:
    """The vendor's endpointing has found that the user starts to speak."""


@frozen
class SpeechEnded:
    """The vendor's endpointing has found that the user has stopped speaking."""


@frozen
class ListenRequest:
    """The user's speech in one session, as a live stream without end.

    Each utterance is audio as in `STTRequest`, and then a `Pause`. The next utterance comes after you have yielded
    `Settled` for the `Pause`. Between two utterances, nothing comes for seconds or minutes.

    With `endpointing`, the vendor finds the utterances: the stream has all audio of the microphone, also silence.
    A `Pause` then only means that the microphone is off. It may come at any time, and more than once.
    """

    audio: AsyncIterator[Audio | Pause]
    endpointing: bool = False


# ---- speech to speech ------------------------------------------------------------------------------------------------


@frozen
class Typed:
    """A text that the user wrote. Add it to the conversation, and answer it."""

    text: str


@frozen
class Added:
    """A message that others have added to the context, such as a client. Add it to the conversation; do not answer."""

    message: Message


@frozen
class Respond:
    """Answer the conversation as it is.

    With `say`, the answer must be this text, word for word. A model that cannot do this answers as similarly as it can.
    """

    say: str | None = None


@frozen
class FunctionResult:
    """The result of the `ToolCall` with this id, as the model is to read it: text, or JSON as text.

    With `respond`, the model answers now. It is set with the last result of an answer, unless the user interrupted.
    """

    id: str
    result: str
    respond: bool = True


@frozen
class Heard:
    """An answer was interrupted: the user has heard the first `seconds` of its audio, and will hear no more of it.

    Stop the answer, and remove what was not heard from the vendor's conversation. `answer` is its number in the stream,
    from 0: that of the `AnswerEnded` that ends it. The answer may have ended already. If not, `AnswerEnded` must
    follow, even if the answer has not begun.
    """

    seconds: float
    answer: int


@frozen
class AnswerEnded:
    """The answer is complete, or was stopped. The next piece of an answer begins another one."""


#: What a speech-to-speech model receives during the conversation.
SpeechInput: TypeAlias = Audio | Pause | Typed | Added | Respond | FunctionResult | Heard


@frozen
class SpeechRequest:
    """One connection for a conversation by speech: what was said before, and a live stream of input without end.

    `messages`, `functions` and `tool_choice` are as in `LLMRequest`. They do not change: after a change by others, the
    stream is opened again.

    The user's audio has 16 kHz and one channel. With `endpointing`, `input` has all audio of the microphone. The vendor
    finds the utterances, answers each without being asked, and stops its answer when the user speaks. `Pause` then only
    says that the microphone is off. Without `endpointing`, each utterance is audio, and then a `Pause`, which asks for
    the answer; between them no audio comes.

    `spoken` is False if the user reads the answers. Then text is enough, and audio is dropped.
    """

    input: AsyncIterator[SpeechInput]
    messages: Sequence[Message] = ()
    functions: Sequence[Function] = ()
    tool_choice: str | None = None
    endpointing: bool = True
    spoken: bool = True


# ---- arguments of a function call as vendors send them ---------------------------------------------------------------

#: How often JSON text may be encoded as a JSON string, itself included.
_ENCODED_AT_MOST = 2


def _json_in(text: str) -> object:
    """Return the JSON value of a text, None for a blank one, and the exception where the text is not JSON."""
    try:
        return json.loads(text, parse_constant=_reject) if text.strip() else None
    except (ValueError, RecursionError) as error:
        return error


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _not_an_object(arguments: object) -> str:
    failed = _json_in(arguments) if isinstance(arguments, str) else None
    reason = f" ({failed.msg}, column {failed.colno})" if isinstance(failed, json.JSONDecodeError) else ""
    shown = shorten(arguments, 200) if isinstance(arguments, str) else describe_json(arguments)
    return (
        f"The arguments are not a JSON object{reason}: {shown}\nThe function was not called. "
        "Call it again with all arguments in one complete JSON object."
    )


#: What the operations of each kind yield.
LLMPiece: TypeAlias = Text | Thought | ToolCall | Usage
TTSPiece: TypeAlias = Audio | Word | Usage
STTPiece: TypeAlias = Transcript | Usage
ListenPiece: TypeAlias = Transcript | Settled | Usage | SpeechBegan | SpeechEnded
SpeechPiece: TypeAlias = Audio | Text | Word | Transcript | SpeechBegan | SpeechEnded | ToolCall | AnswerEnded | Usage


@runtime_checkable
class LLM(Protocol):
    """Answers a conversation."""

    def respond(self, request: LLMRequest, /) -> AsyncIterator[LLMPiece]:
        """Stream the answer. Raise `ProviderError` when the vendor fails. Closing the iterator stops the vendor."""
        ...


@runtime_checkable
class TTS(Protocol):
    """Turns text into speech."""

    def synthesize(self, request: TTSRequest, /) -> AsyncIterator[TTSPiece]:
        """Stream the speech of `request.text`, ahead of playing it. Raise `ProviderError` when the vendor fails."""
        ...


@runtime_checkable
class STT(Protocol):
    """Turns speech into text."""

    def transcribe(self, request: STTRequest, /) -> AsyncIterator[STTPiece]:
        """Stream transcripts until the audio ends. Raise `ProviderError` when the vendor fails."""
        ...


@runtime_checkable
class ListeningSTT(STT, Protocol):
    """An STT that can also recognise a whole session over one connection. Then `transcribe` is not called."""

    def listen(self, request: ListenRequest, /) -> AsyncIterator[ListenPiece]:
        """Stream transcripts, and a `Settled` for each `Pause`, until the iterator is closed.

        With `endpointing`, also stream `SpeechBegan` and `SpeechEnded`, with the transcripts of an utterance between
        them. Words that come later count as another utterance.

        Raise `ProviderError` when the vendor fails: the iterator is then opened again, with the utterance that was not
        settled.
        """
        ...


@runtime_checkable
class SpeechModel(Protocol):
    """Hears the user and answers in speech: it replaces an STT, an LLM and a TTS."""

    def converse(self, request: SpeechRequest, /) -> AsyncIterator[SpeechPiece]:
        """Hold a conversation until the iterator is closed. Raise `ProviderError` when the vendor fails.

        An answer is audio, its text, and function calls, and ends with `AnswerEnded`; no other answer begins before.
        Every answer needs its text, before its audio or with it. `Word` has the time in its answer's audio. Transcripts
        of the user and `Usage` may come at any time. A function call has its result after `AnswerEnded`. Nothing of an
        answer may follow its `AnswerEnded`.

        After a failure, a change of the functions or a replaced context, the iterator is opened again, with all
        messages so far, and with the audio of the utterance that was not answered.
        """
        ...


@runtime_checkable
class VAD(Protocol):
    """Detects speech in audio."""

    def speech_probability(self, frame: Audio, /) -> float:
        """Return the probability, 0 to 1, that the frame contains speech. Must not block.

        The framework passes every frame of the user's audio in order: 512 samples (32 ms), 16 kHz, mono.
        """
        ...


@runtime_checkable
class ChecksKey(Protocol):
    """A service of any kind that can ask its vendor whether the key is valid.

    Annotate what the function under `@service` yields with a class that has this method. Then `rtvi run` checks each
    key that it finds when it starts, and the log names each refused key.
    """

    async def check_key(self) -> None:
        """Raise `ProviderError` with the category "auth" if the vendor does not know the key. Send no paid request.

        Accept a valid key even if it has no permission for your request: vendors sell keys with few permissions. Other
        errors, such as a vendor that cannot be reached, are ignored.
        """
        ...


#: The kinds of the framework itself, by name.
BUILTIN_KINDS: Mapping[str, Kind] = {
    "llm": Kind("llm", LLM),
    "stt": Kind("stt", STT),
    "tts": Kind("tts", TTS),
    "vad": Kind("vad", VAD),
    "speech": Kind("speech", SpeechModel),
}


def kind_of(protocol: Any) -> Kind | None:
    """Return the kind of a Protocol: a built-in kind, or a `Kind` in a variable of the Protocol's module."""
    module = sys.modules.get(getattr(protocol, "__module__", ""))
    own = (each for each in vars(module).values() if isinstance(each, Kind)) if module is not None else ()
    return next((kind for kind in (*BUILTIN_KINDS.values(), *own) if kind.protocol is protocol), None)
