"""The kinds of services: a Protocol for each built-in kind, and `Kind` for new ones.

Every operation takes one frozen request and yields typed pieces. So a request or a piece can get a new field without
breaking a provider. Operations are streams and may be cancelled at any `await`. A provider stores nothing of the
conversation: the context belongs to the session, so the provider can be replaced during the conversation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol, TypeAlias, cast, runtime_checkable

from attrs import field, frozen
from attrs.validators import instance_of, optional
from typing_extensions import get_protocol_members, is_protocol

from .context import Function, Message
from .errors import DeclarationError
from .utils.diagnostics import authors_line, shorten
from .utils.json_values import describe_json, is_object
from .utils.names import is_valid_name

__all__ = (
    "BUILTIN_KINDS",
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "Audio",
    "Kind",
    "LLMPiece",
    "LLMRequest",
    "STTPiece",
    "STTRequest",
    "TTSPiece",
    "TTSRequest",
    "Text",
    "ToolCall",
    "Transcript",
    "Usage",
    "Word",
    "kind_of",
)


_BUILTIN = ("llm", "stt", "tts", "vad")


@frozen
class Kind:
    """A kind of service that a plugin defines: its name, and the Protocol that its providers implement.

    Keep it in a variable of the module that defines the Protocol, `AVATAR = Kind("avatar", Avatar)`: providers write
    `@service(AVATAR, "acme")`, and a bot's parameter `avatar: Avatar` leads back to it.
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


@frozen
class Text:
    """A piece of an LLM's answer, to be shown and spoken as it comes. Pieces are joined without a separator."""

    text: str


@frozen
class ToolCall:
    """A function that the LLM calls. `id` is the vendor's, or made up by the provider; it is never empty.

    `problem` is a sentence for the LLM, set if its arguments are invalid. Such a call is not made. The LLM reads the
    sentence as the result, and may call again.
    """

    id: str = field(validator=instance_of(str))
    name: str = field(validator=instance_of(str))
    arguments: Mapping[str, Any]
    problem: str | None = field(default=None, validator=optional(instance_of(str)))

    @classmethod
    def parse(cls, id: str, name: str, arguments: object) -> ToolCall:
        """Return the call for a vendor's arguments: a JSON object, its text, or nothing.

        None, an empty text and the text `null` mean no arguments. JSON text inside a JSON string is read too, because
        some models write it. For all other values the call has a `problem`. A vendor's malformed call never raises.
        """
        read = arguments
        for _ in range(_ENCODED_AT_MOST):
            if isinstance(read, str):
                read = _json_in(read)
        if read is None or is_object(read):
            return cls(id, name, read or {})
        return cls(id, name, {}, _not_an_object(arguments))


@frozen
class Usage:
    """The usage of an operation, for billing. A count that the vendor does not report stays 0."""

    prompt_tokens: int = field(default=0, validator=instance_of(int))
    completion_tokens: int = field(default=0, validator=instance_of(int))
    characters: int = field(default=0, validator=instance_of(int))
    model: str | None = field(default=None, validator=optional(instance_of(str)))


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
    """A word of synthesized speech and its start time, in seconds from the start of the utterance."""

    text: str
    start: float


@frozen
class Transcript:
    """The text of a user's speech. The next transcript replaces an interim one; a final one stays."""

    text: str
    final: bool
    language: str | None = None


@frozen
class LLMRequest:
    """The conversation so far, in the order it happened, and the functions that the LLM may call.

    Messages have the keys of `rtvi_plugins.context.Message`, OpenAI's form; each function call is followed by its
    result. Functions have the keys of `rtvi_plugins.context.Function`: `name`, and perhaps `description` and
    `parameters`. They are not wrapped in `{"type": "function", …}`.

    `tool_choice` is "none", "auto", "required", or the name of the one function that the LLM must call. None is the
    vendor's default. A provider that cannot do it ignores it.
    """

    messages: Sequence[Message]
    functions: Sequence[Function] = ()
    tool_choice: str | None = None


@frozen
class TTSRequest:
    """The text to speak, as a stream of pieces. A provider may speak the first piece before it receives the last."""

    text: AsyncIterator[str]


@frozen
class STTRequest:
    """The speech to recognise, as a live stream: one utterance, 16 kHz, mono, starting shortly before the speech."""

    audio: AsyncIterator[Audio]


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
LLMPiece: TypeAlias = Text | ToolCall | Usage
TTSPiece: TypeAlias = Audio | Word | Usage
STTPiece: TypeAlias = Transcript | Usage


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
class VAD(Protocol):
    """Detects speech in audio."""

    def speech_probability(self, frame: Audio, /) -> float:
        """Return the probability, 0 to 1, that the frame contains speech. Must not block.

        The framework passes every frame of the user's audio in order: 512 samples (32 ms), 16 kHz, mono.
        """
        ...


#: The kinds of the framework itself, by name.
BUILTIN_KINDS: Mapping[str, Kind] = {
    "llm": Kind("llm", LLM),
    "stt": Kind("stt", STT),
    "tts": Kind("tts", TTS),
    "vad": Kind("vad", VAD),
}


def kind_of(protocol: Any) -> Kind | None:
    """Return the kind of a Protocol: a built-in kind, or a `Kind` in a variable of the Protocol's module."""
    module = sys.modules.get(getattr(protocol, "__module__", ""))
    own = (each for each in vars(module).values() if isinstance(each, Kind)) if module is not None else ()
    return next((kind for kind in (*BUILTIN_KINDS.values(), *own) if kind.protocol is protocol), None)
