"""The provider `cartesia` of the kind `tts`: one connection for a session, and a context for each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins_vendor import (
    BaseURL,
    Extra,
    SharedWebSocket,
    Speech,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    key_check,
    malformed_answers,
    parameters,
    texts_to_speak,
)

from ._service import KEY_PAGE, PATH_OF_KEY, PROVIDER, VERSION, connect, failure

__all__ = ("CartesiaTTS", "cartesia_tts", "speech")

RATE = 24_000
_FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}


@define(eq=False)
class CartesiaTTS:
    """Cartesia's voices. `fields` are sent with each text."""

    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}
    _shared: SharedWebSocket = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Share one connection."""
        self._shared = self.sockets.share("tts/websocket", route=_request_of, headers=VERSION)

    check_key = key_check(PATH_OF_KEY, headers=VERSION)

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield audio and words as they arrive."""
        if (texts := await texts_to_speak(request.text)) is None:
            return
        language = {"language": request.language.partition("-")[0]} if request.language else {}
        speech = _Speech({**language, **self.fields})
        async with self._shared.open(speech.sound.context, goodbye=speech.cancel) as stream:
            async with stream.sending(speech.messages(texts, stream)):
                while not speech.is_over:
                    for piece in speech.read(await anext(stream)):
                        yield piece
                    if speech.again is not None:
                        again, speech.again = speech.again, None
                        await stream.send(again)
            stream.finish()
        yield Usage(characters=speech.characters, model=self.fields.get("model_id"))


def _request_of(message: Any) -> object:
    match message:
        case {"context_id": str(context)} if context:
            return context.partition(".")[0]
        case _:  # an error of the connection has no context, and goes to all requests
            return None


@define(eq=False)
class _Speech:
    """One request. It has several contexts if the LLM pauses: one expires a second after its last audio.

    Cartesia does not support a text that arrives after that, so it may be lost. It is said again in the next context.
    """

    fields: Mapping[str, Any]
    sound: Speech = field(factory=lambda: Speech(PROVIDER, RATE))
    characters: int = 0
    is_over: bool = False
    #: A message to send before all others.
    again: dict[str, Any] | None = None
    #: What stops the current context. It is sent as it is then.
    cancel: dict[str, Any] = field(factory=lambda: {"context_id": "", "cancel": True})
    _contexts: int = 0
    #: Whether the current context takes more text.
    _open: bool = False
    _all_sent: bool = False
    #: Whether the current context has spoken. One expires only after that.
    _has_spoken: bool = False
    #: The texts that were sent since its last audio. A text that has arrived in time is followed by audio.
    _unheard: str = ""

    async def messages(self, texts: AsyncIterator[str], stream: WebSocketStream) -> AsyncGenerator[dict[str, Any]]:
        """Yield each text, and what ends the last one."""
        async for text in texts:
            if not self._open:
                self._begin()
            self.characters += len(text)
            yield self._text(text if text[-1:].isspace() else f"{text} ", more=True)
        self._all_sent = True
        if self._open:
            yield self._message("", more=False)
        else:
            self.is_over = True
            stream.deliver({"type": "over"})

    def read(self, message: Any) -> list[Audio | Word]:
        """Return the pieces of a message."""
        pieces: list[Audio | Word] = []
        with malformed_answers(PROVIDER):
            match message["type"]:
                case _ if self._is_of_former_context(message):
                    pass
                case "chunk":
                    pieces += self.sound.audio(message["data"])
                    self._has_spoken, self._unheard = True, ""
                case "timestamps" if (times := message.get("word_timestamps")) is not None:
                    pieces += self.sound.words(times["words"], times["start"], times["end"])
                case "done":
                    self._end()
                case "error" if self._may_have_expired and failure(message).category == "bad-request":
                    self._end()
                case "error":
                    raise failure(message)
                case _:
                    pass
        return pieces

    def _begin(self) -> None:
        """Begin a context."""
        self._contexts, self._open = self._contexts + 1, True
        self._has_spoken, self._unheard = False, ""
        self.sound.restart()
        self.cancel["context_id"] = f"{self.sound.context}.{self._contexts}"

    def _end(self) -> None:
        """End the current context, and begin another one if a text has come too late for it."""
        if self._may_have_expired:
            late = self._unheard
            self._begin()
            self.again = self._text(late, more=not self._all_sent)
        else:
            self._open, self.is_over = False, self._all_sent

    @property
    def _may_have_expired(self) -> bool:
        return self._has_spoken and bool(self._unheard)

    def _is_of_former_context(self, message: Mapping[str, Any]) -> bool:
        """Return whether a message answers a text that came too late for its context."""
        match message:
            case {"context_id": str(context)}:
                return _request_of(message) == self.sound.context and context != self.cancel["context_id"]
            case _:
                return False

    def _text(self, text: str, *, more: bool) -> dict[str, Any]:
        self._unheard += text
        return self._message(text, more=more)

    def _message(self, text: str, *, more: bool) -> dict[str, Any]:
        return {
            **self.fields,
            "output_format": _FORMAT,
            "add_timestamps": True,
            "context_id": self.cancel["context_id"],
            "transcript": text,
            "continue": more,
        }


@service("tts", "cartesia", key_page=KEY_PAGE)
@asynccontextmanager
async def cartesia_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.cartesia.ai", timeout: Timeout = 10.0
) -> AsyncGenerator[CartesiaTTS]:
    """Cartesia's voices."""
    async with connect(api_key, base_url, timeout) as sockets:
        yield CartesiaTTS(sockets)


@options(cartesia_tts)
def speech(
    tts: CartesiaTTS,
    /,
    model_id: Annotated[
        Literal["sonic-3.5", "sonic-3.6", "sonic-3", "sonic-3.5-2026-05-04", "sonic-latest"] | str,
        Doc("The model that speaks."),
    ] = "sonic-3.5",
    voice: Annotated[
        Literal["9626c31c-bec5-4cca-baa8-f8ba9e84c8bc", "f786b574-daa5-4673-aa0c-cbe3e8534c02"] | str,
        Doc("The id of the voice. The suggested ones are the English voices Jacqueline and Katie."),
    ] = "9626c31c-bec5-4cca-baa8-f8ba9e84c8bc",
    language: Annotated[
        Literal["en", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "zh"] | str | None,
        Doc("The language to speak. By default, the language of the user's speech, if the STT reports it."),
    ] = None,
    speed: Annotated[Annotated[float, ge(0.6), le(1.5)] | None, Doc("The speed of the speech; 1 is normal.")] = None,
    volume: Annotated[Annotated[float, ge(0.5), le(2)] | None, Doc("The volume; 1 is normal.")] = None,
    emotion: Annotated[
        Literal["neutral", "happy", "excited", "content", "calm", "sympathetic", "sad", "angry", "scared"] | str | None,
        Doc("The emotion of the voice."),
    ] = None,
    pronunciation_dict_id: Annotated[str | None, Doc("The id of a dictionary of pronunciations.")] = None,
    max_buffer_delay_ms: Annotated[
        int, ge(0), le(5000), Doc("How long to wait for more text, in ms. Texts are whole sentences, so 0 is best.")
    ] = 0,
    extra: Extra = None,
) -> None:
    """Set how the bot speaks. Speed, volume and emotion need a model of sonic-3 or later."""
    config = parameters({"speed": speed, "volume": volume, "emotion": emotion})
    tts.fields = parameters(
        {
            "model_id": model_id,
            "voice": {"mode": "id", "id": voice},
            "language": language,
            "generation_config": config,
            "pronunciation_dict_id": pronunciation_dict_id,
            "max_buffer_delay_ms": max_buffer_delay_ms,
        },
        extra,
    )
