"""The provider `deepgram` of the kind `stt`: one connection for a session, or for one utterance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.kinds import ListenPiece, ListenRequest, SpeechEnded, STTPiece, STTRequest, Transcript, Usage
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
    parameters,
)

from ._flux import Flux
from ._nova import Nova
from ._service import KEY_PAGE, PATH_OF_KEY, OptOut, connect, is_flux

__all__ = ("DeepgramSTT", "deepgram_stt", "recognition")

_CLOSE = {"type": "CloseStream"}


@define(eq=False)
class DeepgramSTT:
    """Deepgram's streaming recognition. `fields` are the parameters of the next connection."""

    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}

    check_key = key_check(PATH_OF_KEY)

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield the transcripts of one utterance, over a connection of its own."""
        reader, audio = _reader(self.fields), CountedAudio(request.audio)
        async with self._open(reader) as stream, stream.sending(audio_messages(audio, end=_CLOSE)):
            async for message in stream:
                for piece in reader.read(message):
                    if isinstance(piece, Transcript | Usage):
                        yield piece
        for piece in reader.end(audio.seconds):
            yield piece

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Yield the transcripts of a session. It ends after an utterance if the options have changed."""
        reader = _reader(self.fields, endpointing=request.endpointing)
        async with (
            self._open(reader) as stream,
            Listening(stream, request.audio, pause=reader.pause, hears_silence=reader.hears_silence) as listening,
        ):
            is_over = False
            while not is_over or self.fields == reader.fields:
                listening.quiet, is_over = reader.quiet(stream.timeout), False
                for piece in reader.read(await anext(listening)):
                    if isinstance(piece, SpeechEnded):
                        is_over = True
                        yield listening.usage()
                    yield piece
                if listening.is_paused and reader.has_settled:
                    is_over = True
                    for settled in listening.settle():
                        yield settled

    def _open(self, reader: Nova | Flux) -> AbstractAsyncContextManager[WebSocketStream]:
        return self.sockets.open(reader.path, params=reader.params, goodbye=_CLOSE, keep_alive=reader.keep_alive)


def _reader(fields: Mapping[str, Any], *, endpointing: bool = False) -> Nova | Flux:
    return (Flux if is_flux(fields.get("model")) else Nova)(fields, endpointing)


@service("stt", "deepgram", key_page=KEY_PAGE)
@asynccontextmanager
async def deepgram_stt(
    api_key: Secret, /, base_url: BaseURL = "https://api.deepgram.com", timeout: Timeout = 10.0
) -> AsyncGenerator[DeepgramSTT]:
    """Deepgram's streaming speech recognition."""
    async with connect(api_key, base_url, timeout) as sockets:
        yield DeepgramSTT(sockets)


@options(deepgram_stt)
def recognition(
    stt: DeepgramSTT,
    /,
    model: Annotated[
        Literal["nova-3", "nova-3-medical", "nova-2", "nova-2-phonecall", "flux-general-en", "flux-general-multi"]
        | str,
        Doc("The model that recognises speech. Models of the series Flux also judge the end of a turn."),
    ] = "nova-3",
    language: Annotated[
        Literal["en", "en-US", "en-GB", "de", "es", "fr", "hi", "it", "ja", "nl", "pt", "multi"] | str,
        Doc(
            "The language of the user, as a BCP 47 tag. With `multi`, the user may change it. Flux has `language_hint`."
        ),
    ] = "en",
    keyterm: Annotated[Sequence[str], Doc("Words and names to expect. Only nova-3 uses them.")] = (),
    interim_results: Annotated[bool, Doc("Whether to send interim transcripts while the user speaks.")] = True,
    smart_format: Annotated[bool, Doc("Format numbers, dates, times and amounts of money.")] = True,
    punctuate: Annotated[bool, Doc("Add punctuation and capital letters.")] = True,
    numerals: Annotated[bool, Doc("Write numbers as digits.")] = False,
    profanity_filter: Annotated[bool, Doc("Replace swear words.")] = False,
    redact: Annotated[
        Sequence[Literal["pci", "numbers", "aggressive_numbers", "ssn"] | str],
        Doc("What to remove: numbers of payment cards, social security numbers, or others."),
    ] = (),
    diarize_model: Annotated[
        Literal["latest", "v1"] | str | None,
        Doc("Distinguish the speakers, with this model. By default, they are not distinguished."),
    ] = None,
    endpointing: Annotated[
        Annotated[int, ge(10), le(10_000)] | Literal[False] | None,
        Doc("The ms of silence after which a part is final and the turn may be over; false: never. By default, 10."),
    ] = None,
    utterance_end_ms: Annotated[
        Annotated[int, ge(1000), le(5000)] | None,
        Doc("The ms without a word after which the turn may be over. It needs `interim_results`."),
    ] = None,
    language_hint: Annotated[
        Sequence[str],
        Doc("The languages to expect, such as `es`, for flux-general-multi, and for nova-3 with the language `multi`."),
    ] = (),
    eot_threshold: Annotated[
        Annotated[float, ge(0.5), le(1)] | None,
        Doc("How sure Flux must be that the user's turn is over. By default, its judgement is not used."),
    ] = None,
    eot_timeout_ms: Annotated[
        Annotated[int, ge(500), le(60_000)] | None,
        Doc("The ms of silence after which Flux ends a turn. By default, 5000."),
    ] = None,
    mip_opt_out: OptOut = False,
    extra: Extra = None,
) -> None:
    """Set how speech is recognised. It applies from the next utterance on."""
    both = {
        "model": model,
        "keyterm": list(keyterm),
        "numerals": numerals or None,
        "profanity_filter": profanity_filter or None,
        "redact": list(redact),
        "language_hint": list(language_hint),
        "mip_opt_out": mip_opt_out or None,
    }
    nova = {
        "language": language,
        "interim_results": interim_results,
        "smart_format": smart_format,
        "punctuate": punctuate,
        "diarize_model": diarize_model,
        "endpointing": endpointing,
        "utterance_end_ms": utterance_end_ms,
    }
    flux = {
        "eot_threshold": eot_threshold,
        "eot_timeout_ms": eot_timeout_ms,
    }
    stt.fields = parameters({**both, **(flux if is_flux(model) else nova)}, extra)
