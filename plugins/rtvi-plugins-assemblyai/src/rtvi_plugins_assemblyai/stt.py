"""The provider `assemblyai` of the kind `stt`: one connection for a session, or for one utterance."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le, max_len
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import ListenPiece, ListenRequest, SpeechEnded, STTPiece, STTRequest, Transcript, Usage
from rtvi_plugins_vendor import (
    BaseURL,
    Extra,
    Listening,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    audio_messages,
    connect_websockets,
    key_check,
    parameters,
)

from ._turns import PROVIDER, Turns, category_of

__all__ = ("AssemblyAISTT", "assemblyai_stt", "recognition")

_FORMAT = {"encoding": "pcm_s16le", "sample_rate": 16_000}
_VERSION = {"AssemblyAI-Version": "2025-05-12"}
_FORCE, _TERMINATE = {"type": "ForceEndpoint"}, {"type": "Terminate"}
#: The fewest bytes of a message: 50 ms.
_LEAST = 1_600
#: How many frames of 32 ms are sent at once, which takes less CPU time. See `Listening`.
_FRAMES = 5
#: The same where AssemblyAI finds the end of the turn, for which the user waits.
_FRAMES_OF_TURNS = 3
#: How long to wait for a turn that may begin late, in seconds, where AssemblyAI has none to end.
_QUIET = 0.4
_BYTES_PER_SECOND = 32_000
#: A confidence that no turn has, so that AssemblyAI ends a turn when it is told to.
_NEVER = 1.0


@define(eq=False)
class AssemblyAISTT:
    """AssemblyAI's streaming recognition. `fields` are the parameters of the next connection."""

    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}
    #: The confidence from which the user's turn is over. None: the confidence is not used.
    threshold: float | None = None

    check_key = key_check("v3/token?expires_in_seconds=1")

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield the transcripts of one utterance, over a connection of its own."""
        turns = self._turns()
        messages = audio_messages(request.audio, end=_TERMINATE, least=_LEAST)
        async with self._open(turns) as stream, stream.sending(messages):
            async for message in stream:
                for piece in turns.read(message):
                    if isinstance(piece, Transcript | Usage):
                        yield piece
        if not turns.is_terminated:
            raise ProviderError(PROVIDER, "unavailable")

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Yield the transcripts of a session. It ends after an utterance if the options have changed."""
        fields, turns = self.fields, self._turns(endpointing=request.endpointing)
        frames = _FRAMES_OF_TURNS if request.endpointing else _FRAMES
        async with (
            self._open(turns) as stream,
            Listening(
                stream, request.audio, pause=_FORCE, hears_silence=False, least=_LEAST, frames=frames
            ) as listening,
        ):

            def quiet() -> float:
                if turns.is_open:
                    return stream.timeout
                return 0.0 if turns.has_all(listening.sent_bytes / _BYTES_PER_SECOND) else _QUIET

            listening.quiet, is_over = quiet, False
            while not is_over or self.fields == fields:
                is_over = False
                for piece in turns.read(await anext(listening)):
                    if isinstance(piece, SpeechEnded):
                        is_over = True
                        yield listening.usage()
                    yield piece
                if listening.is_paused and turns.has_ended:
                    is_over = True
                    for settled in listening.settle():
                        yield settled

    def _turns(self, *, endpointing: bool = False) -> Turns:
        return Turns(bool(self.fields.get("format_turns")), self.threshold, endpointing)

    def _open(self, turns: Turns) -> AbstractAsyncContextManager[WebSocketStream]:
        judged = {} if turns.endpointing else {"end_of_turn_confidence_threshold": _NEVER}
        params = {**_FORMAT, **judged, **self.fields}
        return self.sockets.open("v3/ws", params=params, headers=_VERSION, goodbye=_TERMINATE)


@service("stt", "assemblyai", key_page="https://www.assemblyai.com/dashboard/api-keys")
@asynccontextmanager
async def assemblyai_stt(
    api_key: Secret, /, base_url: BaseURL = "https://streaming.assemblyai.com", timeout: Timeout = 10.0
) -> AsyncGenerator[AssemblyAISTT]:
    """AssemblyAI's streaming speech recognition."""
    async with connect_websockets(
        PROVIDER, api_key, base_url=base_url, key_scheme="", timeout=timeout, categorize=category_of
    ) as sockets:
        yield AssemblyAISTT(sockets)


@options(assemblyai_stt)
def recognition(
    stt: AssemblyAISTT,
    /,
    speech_model: Annotated[
        Literal[
            "universal-streaming-english",
            "universal-streaming-multilingual",
            "universal-3-6-pro",
            "universal-3-5-pro",
            "u3-rt-pro",
            "whisper-rt",
        ]
        | str,
        Doc("The model that recognises speech."),
    ] = "universal-streaming-english",
    format_turns: Annotated[bool, Doc("Add punctuation and capital letters, and write numbers as digits.")] = True,
    keyterms_prompt: Annotated[Sequence[str], max_len(100), Doc("Words and names to expect.")] = (),
    end_of_turn_confidence_threshold: Annotated[
        Annotated[float, ge(0), le(1)] | None,
        Doc("How sure AssemblyAI must be that the user's turn is over. By default, its judgement is not used."),
    ] = None,
    min_turn_silence: Annotated[
        Annotated[int, ge(0)] | None, Doc("The ms of silence after which a turn may be over. By default, the model's.")
    ] = None,
    max_turn_silence: Annotated[
        Annotated[int, ge(0)] | None, Doc("The ms of silence after which a turn is over. By default, the model's.")
    ] = None,
    vad_threshold: Annotated[
        Annotated[float, ge(0), le(1)] | None, Doc("How likely speech must be. Higher values ignore more noise.")
    ] = None,
    language_detection: Annotated[bool, Doc("Report the language, for models of several languages.")] = False,
    language_codes: Annotated[
        Sequence[str], Doc("The languages to expect, such as `es`, for models that accept them.")
    ] = (),
    prompt: Annotated[str, Doc("What the conversation is about, for models that accept a prompt.")] = "",
    filter_profanity: Annotated[bool, Doc("Mask swear words.")] = False,
    speaker_labels: Annotated[bool, Doc("Distinguish the speakers.")] = False,
    redact_pii: Annotated[bool, Doc("Remove personal data, such as names.")] = False,
    extra: Extra = None,
) -> None:
    """Set how speech is recognised. It applies from the next utterance on."""
    threshold = end_of_turn_confidence_threshold
    stt.threshold = threshold
    stt.fields = parameters(
        {
            "speech_model": speech_model,
            "format_turns": format_turns,
            "keyterms_prompt": json.dumps(list(keyterms_prompt)) if keyterms_prompt else None,
            "end_of_turn_confidence_threshold": threshold,
            "min_turn_silence": min_turn_silence,
            "max_turn_silence": max_turn_silence,
            "vad_threshold": vad_threshold,
            "language_detection": language_detection or None,
            "language_codes": json.dumps(list(language_codes)) if language_codes else None,
            "prompt": prompt,
            "filter_profanity": filter_profanity or None,
            "speaker_labels": speaker_labels or None,
            "redact_pii": redact_pii or None,
        },
        extra,
    )
