"""The provider `deepgram` of the kind `stt`: one connection for a session, or for one utterance."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import ListenPiece, ListenRequest, Settled, STTPiece, STTRequest, Transcript, Usage, Word
from rtvi_plugins_vendor import (
    BaseURL,
    Extra,
    Listening,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    audio_messages,
    malformed_answers,
    parameters,
)

from ._service import KEY_PAGE, PATH_OF_KEY, PROVIDER, OptOut, connect, failure

__all__ = ("DeepgramSTT", "deepgram_stt", "recognition")

_FORMAT = {"encoding": "linear16", "sample_rate": 16_000, "channels": 1}
_FINALIZE = {"type": "Finalize"}
_CLOSE = {"type": "CloseStream"}


@define(eq=False)
class DeepgramSTT:
    """Deepgram's streaming recognition. `fields` are the parameters of the next connection."""

    sockets: VendorWebSockets = field(repr=False)
    timeout: float
    fields: Mapping[str, Any] = {}

    async def check_key(self) -> None:
        """Raise `ProviderError` if Deepgram does not know the key."""
        await self.sockets.check_key(PATH_OF_KEY)

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield the transcripts of one utterance, over a connection of its own."""
        reader = _Reader(self.fields)
        messages = audio_messages(request.audio, end=_CLOSE)
        async with self._open(self.fields) as stream, stream.sending(messages):
            async for message in stream:
                for piece in reader.read(message):
                    yield piece
        if not reader.is_complete:
            raise ProviderError(PROVIDER, "unavailable")

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Yield the transcripts of a session. It ends after an utterance if the options have changed."""
        fields, listening = self.fields, Listening(PROVIDER, self.timeout)
        reader = _Reader(fields)
        messages = listening.messages(request.audio, _FINALIZE)
        async with self._open(fields) as stream, stream.sending(messages):
            while self.fields == fields:
                is_settled = False
                while not is_settled:
                    message = await listening.receive(stream)
                    for piece in reader.read(message):
                        yield piece
                    # Deepgram may leave out this answer if no audio waits to be recognised.
                    is_settled = message is None or (listening.is_paused and reader.is_finalized)
                yield listening.settle()
                yield Settled()

    def _open(self, fields: Mapping[str, Any]) -> AbstractAsyncContextManager[WebSocketStream]:
        return self.sockets.open(
            "v1/listen", params={**_FORMAT, **fields}, goodbye=_CLOSE, keep_alive={"type": "KeepAlive"}
        )


@define(eq=False)
class _Reader:
    """Reads the messages of one connection."""

    fields: Mapping[str, Any]
    #: Deepgram has sent its summary, which is the last message.
    is_complete: bool = False
    #: Whether the last message was the answer to `Finalize`.
    is_finalized: bool = False

    def read(self, message: Any) -> Iterator[Transcript | Usage]:
        """Yield the pieces of a message."""
        self.is_finalized = False
        with malformed_answers(PROVIDER):
            match message:
                case {"type": "Results"}:
                    found = self._transcript(message)
                    self.is_finalized = bool(message.get("from_finalize"))
                    pieces: list[Transcript | Usage] = [found] if found.text else []
                case {"type": "UtteranceEnd"}:
                    pieces = [Transcript("", True, ends_turn=True)]
                case {"type": "Metadata"}:
                    self.is_complete = True
                    pieces = [Usage(seconds=message["duration"], model=self.fields.get("model"))]
                case {"type": "Error"}:
                    raise failure(message.get("variant"))
                case _:
                    pieces = []
        yield from pieces

    def _transcript(self, message: Mapping[str, Any]) -> Transcript:
        best, final = message["channel"]["alternatives"][0], bool(message["is_final"])
        speakers = Counter(str(each["speaker"]) for each in best["words"] if each.get("speaker") is not None)
        return Transcript(
            best["transcript"],
            final,
            language=next(iter(best.get("languages") or []), None),
            words=[
                Word(each.get("punctuated_word") or each["word"], each["start"], each["end"]) for each in best["words"]
            ],
            speaker=speakers.most_common(1)[0][0] if speakers else None,
            confidence=best["confidence"],
            # By default, 10 ms of silence are an endpoint, which says nothing of the turn.
            ends_turn=bool(message["speech_final"]) if final and self._waits_for_silence else None,
        )

    @property
    def _waits_for_silence(self) -> bool:
        return "endpointing" in self.fields and self.fields["endpointing"] is not False


@service("stt", "deepgram", key_page=KEY_PAGE)
@asynccontextmanager
async def deepgram_stt(
    api_key: Secret, /, base_url: BaseURL = "https://api.deepgram.com", timeout: Timeout = 10.0
) -> AsyncGenerator[DeepgramSTT]:
    """Deepgram's streaming speech recognition."""
    async with connect(api_key, base_url, timeout) as sockets:
        yield DeepgramSTT(sockets, timeout)


@options(deepgram_stt)
def recognition(
    stt: DeepgramSTT,
    /,
    model: Annotated[
        Literal["nova-3", "nova-3-general", "nova-3-medical", "nova-2", "nova-2-conversationalai", "nova-2-phonecall"]
        | str,
        Doc("The model that recognises speech."),
    ] = "nova-3",
    language: Annotated[
        Literal["en", "en-US", "en-GB", "de", "es", "fr", "hi", "it", "ja", "nl", "pt", "multi"] | str,
        Doc("The language of the user, as a BCP 47 tag. With `multi`, the user may change the language."),
    ] = "en",
    keyterm: Annotated[Sequence[str], Doc("Words and names to expect. Only nova-3 uses them.")] = (),
    interim_results: Annotated[bool, Doc("Show what was recognised while the user still speaks.")] = True,
    smart_format: Annotated[bool, Doc("Format numbers, dates, times and amounts of money.")] = True,
    punctuate: Annotated[bool, Doc("Add punctuation and capital letters.")] = True,
    numerals: Annotated[bool, Doc("Write numbers as digits.")] = False,
    profanity_filter: Annotated[bool, Doc("Replace swear words.")] = False,
    redact: Annotated[
        Sequence[Literal["pci", "numbers", "aggressive_numbers", "ssn"] | str],
        Doc("What to remove: numbers of payment cards, social security numbers, or others."),
    ] = (),
    diarize_model: Annotated[
        Literal["latest", "v1"] | str | None, Doc("Tell speakers apart, with this model. By default, they are not.")
    ] = None,
    endpointing: Annotated[
        Annotated[int, ge(10), le(10_000)] | Literal[False] | None,
        Doc("After how many ms of silence a part is final and the turn may be over; false: never. By default, 10."),
    ] = None,
    utterance_end_ms: Annotated[
        Annotated[int, ge(1000), le(5000)] | None,
        Doc("After how many ms without a word the turn may be over. It needs `interim_results`."),
    ] = None,
    mip_opt_out: OptOut = False,
    extra: Extra = None,
) -> None:
    """Set how speech is recognised. It applies from the next utterance on."""
    stt.fields = parameters(
        {
            "model": model,
            "language": language,
            "keyterm": list(keyterm),
            "interim_results": interim_results,
            "smart_format": smart_format,
            "punctuate": punctuate,
            "numerals": numerals or None,
            "profanity_filter": profanity_filter or None,
            "redact": list(redact),
            "diarize_model": diarize_model,
            "endpointing": endpointing,
            "utterance_end_ms": utterance_end_ms,
            "mip_opt_out": mip_opt_out or None,
        },
        extra,
    )
