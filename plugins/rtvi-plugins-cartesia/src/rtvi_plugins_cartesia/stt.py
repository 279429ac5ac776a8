"""The provider `cartesia` of the kind `stt`: one connection for a session, or for one utterance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from itertools import chain
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le, max_len
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    ListenPiece,
    ListenRequest,
    Settled,
    SpeechEnded,
    STTPiece,
    STTRequest,
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins_vendor import (
    BaseURL,
    CountedAudio,
    Extra,
    Listening,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    audio_messages,
    key_check,
    malformed_answers,
    parameters,
)

from ._service import KEY_PAGE, PATH_OF_KEY, PROVIDER, VERSION, connect, failure
from ._turns import Turns, UntilPause

__all__ = ("CartesiaSTT", "cartesia_stt", "recognition")

_FORMAT = {"encoding": "pcm_s16le", "sample_rate": 16_000}
#: Commands are plain words, and no JSON.
_FINALIZE, _CLOSE = "finalize", "close"
#: How many frames of 32 ms are sent at once: 160 ms, as by LiveKit's plugin. See `Listening`.
_FRAMES = 5
#: The endpoint that finds turns has JSON.
_CLOSE_TURNS = {"type": "close"}


@define(eq=False)
class CartesiaSTT:
    """Cartesia's streaming recognition. `fields` are the parameters of the next connection.

    `turn_fields` are the parameters of a connection on which Cartesia detects the user's turns.
    """

    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}
    turn_fields: Mapping[str, Any] = {}

    check_key = key_check(PATH_OF_KEY, headers=VERSION)

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield the transcripts of one utterance, over a connection of its own."""
        reader, audio = _Reader(), CountedAudio(request.audio)
        messages = audio_messages(audio, pause=_FINALIZE, end=_CLOSE)
        async with self._open(self.fields) as stream, stream.sending(messages):
            async for message in stream:
                for piece in reader.read(message):
                    yield piece
                if reader.is_complete:
                    stream.finish()
                    break
        if not reader.is_complete:
            raise ProviderError(PROVIDER, "unavailable")
        yield Usage(seconds=audio.seconds, model=self.fields.get("model"))

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Yield the transcripts of a session. It ends after an utterance if the options have changed."""
        if request.endpointing:
            async with aclosing(self._find_turns(request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        fields, reader = self.fields, _Reader()
        async with (
            self._open(fields) as stream,
            Listening(stream, request.audio, pause=_FINALIZE, quiet=stream.timeout, frames=_FRAMES) as listening,
        ):
            while self.fields == fields:
                is_settled = False
                while not is_settled:
                    for piece in reader.read(await anext(listening)):
                        yield piece
                    is_settled = listening.is_paused and reader.is_flushed
                for settled in listening.settle():
                    yield settled

    async def _find_turns(self, request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        """Yield the turns that Cartesia finds, until the microphone is off or the options have changed."""
        fields, turns = self.turn_fields, Turns()
        microphone = UntilPause(request.audio)
        audio, used = CountedAudio(microphone), 0.0
        opened = self.sockets.open(
            "stt/turns/websocket", params={**_FORMAT, **fields}, headers=VERSION, goodbye=_CLOSE_TURNS
        )
        async with opened as stream, stream.sending(audio_messages(audio, end=_CLOSE_TURNS)):
            async for message in stream:
                for piece in turns.read(message):
                    if isinstance(piece, SpeechEnded):
                        yield Usage(seconds=round(audio.seconds - used, 6), model=fields.get("model"))
                        used = audio.seconds
                    yield piece
                    if isinstance(piece, SpeechEnded) and self.turn_fields != fields:
                        return
        if not microphone.is_paused:
            raise ProviderError(PROVIDER, "unavailable")
        for piece in turns.end():
            yield piece
        yield Usage(seconds=round(audio.seconds - used, 6), model=fields.get("model"))
        yield Settled()

    def _open(self, fields: Mapping[str, Any]) -> AbstractAsyncContextManager[WebSocketStream]:
        return self.sockets.open("stt/websocket", params={**_FORMAT, **fields}, headers=VERSION, goodbye=_CLOSE)


@define(eq=False)
class _Reader:
    """Joins the parts of an utterance. They contain the spaces between them, so one alone is not a whole text."""

    #: Cartesia has answered `finalize`, or `close`.
    is_flushed: bool = False
    is_complete: bool = False
    _text: str = ""
    _words: list[Word] = field(factory=list[Word])
    _language: str | None = None

    def read(self, message: Any) -> list[Transcript]:
        """Return the transcripts of a message. None is a vendor that has nothing to add."""
        found: list[Transcript] = []
        self.is_flushed = False
        with malformed_answers(PROVIDER):
            match message:
                case None | {"type": "flush_done"}:
                    self.is_flushed = True
                case {"type": "done"}:
                    self.is_flushed = self.is_complete = True
                case {"type": "error"}:
                    raise failure(message)
                case {"type": "transcript"}:
                    shown = self._text + message["text"]
                    if message["is_final"]:
                        self._text, self._language = shown, message.get("language")
                        self._words += chain.from_iterable(map(_words, message.get("words") or []))
                    if shown.strip():
                        found.append(Transcript(shown.strip(), False, language=message.get("language")))
                case _:
                    pass
        if self.is_flushed and self._text.strip():
            found.append(Transcript(self._text.strip(), True, language=self._language, words=self._words))
            self._text, self._words = "", []
        return found


def _words(found: Mapping[str, Any]) -> list[Word]:
    # Cartesia's reference has an object for each word, and its SDK one with a list of words.
    if "word" in found:
        return [Word(found["word"], found["start"], found["end"])]
    return [Word(*each) for each in zip(found["words"], found["start"], found["end"], strict=True)]


@service("stt", "cartesia", key_page=KEY_PAGE)
@asynccontextmanager
async def cartesia_stt(
    api_key: Secret, /, base_url: BaseURL = "https://api.cartesia.ai", timeout: Timeout = 10.0
) -> AsyncGenerator[CartesiaSTT]:
    """Cartesia's streaming speech recognition."""
    async with connect(api_key, base_url, timeout) as sockets:
        yield CartesiaSTT(sockets)


@options(cartesia_stt)
def recognition(
    stt: CartesiaSTT,
    /,
    model: Annotated[
        Literal["ink-2", "ink-whisper", "ink-whisper-2025-06-04"] | str, Doc("The model that recognises speech.")
    ] = "ink-2",
    language: Annotated[
        Literal["en"] | str, Doc("The language of the user. ink-2 knows English only, ink-whisper many others.")
    ] = "en",
    keyterm: Annotated[Sequence[str], max_len(100), Doc("Words and names to expect, up to 1200 characters.")] = (),
    max_silence_duration_secs: Annotated[
        Annotated[float, ge(0)] | None, Doc("The seconds of silence after which a part is final. For ink-whisper.")
    ] = None,
    min_volume: Annotated[
        Annotated[float, ge(0), le(1)] | None, Doc("The volume below which sound is silence. For ink-whisper.")
    ] = None,
    turn_start_threshold: Annotated[
        Annotated[float, ge(0.5), le(0.9)] | None, Doc("Without a VAD: the user speaks from this value on.")
    ] = None,
    turn_end_threshold: Annotated[
        Annotated[float, ge(0.05), le(0.5)] | None, Doc("Without a VAD: the user's turn is over below this value.")
    ] = None,
    turn_end_timeout_ms: Annotated[
        Annotated[int, ge(640), le(11_200)] | None, Doc("Without a VAD: the ms of silence after which a turn is over.")
    ] = None,
    extra: Extra = None,
) -> None:
    """Set how speech is recognised. It applies from the next utterance on."""
    stt.turn_fields = parameters(
        {
            "model": model,
            "keyterm": list(keyterm),
            "turn_start_threshold": turn_start_threshold,
            "turn_end_threshold": turn_end_threshold,
            "turn_end_timeout_ms": turn_end_timeout_ms,
        },
        extra,
    )
    stt.fields = parameters(
        {
            "model": model,
            "language": language,
            "keyterm": list(keyterm),
            "max_silence_duration_secs": max_silence_duration_secs,
            "min_volume": min_volume,
        },
        extra,
    )
