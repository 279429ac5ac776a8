"""The provider `google` of kind `speech`: a speech-to-speech model, over Google's Live API."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Literal

import anyio
import orjson
from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import SpeechPiece, SpeechRequest
from rtvi_plugins_vendor import (
    BaseURL,
    VendorWebSockets,
    WebSocketStream,
    category_of_close,
    connect_websockets,
    in_turns,
    malformed_answers,
)

from ._live import STOPPED, Live
from ._request import declarations, names_of, parts_of, text_part
from .gemini import GoogleLLM, connect
from .llm import KEY_PAGE, Timeout

__all__ = ("GoogleSpeech", "google_speech", "hearing", "speaking")

_PROVIDER = "google"
_PATH = "ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
#: Words of the reason in a close frame. Its code says only that a message was refused, or that the vendor has failed.
#: A connection that has lasted too long is aborted with the code of a refusal.
_BY_REASON: Mapping[str, ProviderCategory] = {"api key": "auth", "quota": "rate", "aborted": "unavailable"}


def _category_of(code: int, reason: str) -> ProviderCategory | None:
    category = category_of_close(code)
    known: list[ProviderCategory] = [each for words, each in _BY_REASON.items() if words in reason.lower()]
    return known[0] if category and known else category


@define(eq=False)
class GoogleSpeech:
    """A Live model. The fields are those of the next connection, with the vendor's names; None is not sent."""

    sockets: VendorWebSockets = field(repr=False)
    models: GoogleLLM = field(repr=False)
    timeout: float = 10.0
    model: str = ""
    generation: Mapping[str, Any] = {}
    compression: Mapping[str, Any] | None = None
    detection: Mapping[str, Any] = {}
    transcription: Mapping[str, Any] = {}

    async def check_key(self) -> None:
        """Raise `ProviderError` if the vendor does not know the key."""
        await self.models.check_key()

    async def converse(self, request: SpeechRequest, /) -> AsyncGenerator[SpeechPiece]:
        """Hold a conversation over one connection.

        It ends in a pause of the conversation, after the vendor has said that it will close the connection soon.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        live = Live(request.endpointing, self.model)
        link = _Link(live, self.timeout)
        async with (
            self.sockets.open(_PATH) as stream,
            stream.sending(link.messages(request, self._setup(request), stream)),
        ):
            while True:
                message = await link.receive(stream)
                with malformed_answers(_PROVIDER):
                    pieces = live.take(message)
                for each in live.due():
                    await stream.send(each)
                for piece in pieces:
                    yield piece
                if live.is_leaving:  # another connection gets the whole conversation
                    return

    def _setup(self, request: SpeechRequest) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the first message, and the earlier conversation."""
        prepare = partial(parts_of, _PROVIDER, names_of(request.messages))
        system, turns = in_turns(request.messages, prepare, text_part)
        spoken = any(each["role"] not in ("system", "developer") for each in request.messages)
        history = (
            [{"role": "user" if role == "user" else "model", "parts": parts} for role, parts in turns] if spoken else []
        )
        detection = _present(self.detection) if request.endpointing else {"disabled": True}
        setup = {
            "model": f"models/{self.model}",
            "generationConfig": {"responseModalities": ["AUDIO"], **_present(self.generation)},
            "systemInstruction": {"parts": [text_part(system)]} if system else None,
            # Newer models go on speaking during a call, unless they are asked to wait.
            "tools": declarations(request.functions, behavior="BLOCKING") or None,
            "realtimeInputConfig": {"automaticActivityDetection": detection},
            "inputAudioTranscription": _present(self.transcription),
            "outputAudioTranscription": {},
            "contextWindowCompression": self.compression,
            "historyConfig": {"initialHistoryInClientContent": True} if history else None,
        }
        return {"setup": _present(setup)}, history


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@define(eq=False)
class _Link:
    """What is sent on a connection, and how long the vendor may be silent when it owes a message."""

    live: Live
    timeout: float
    _ready: anyio.Event = field(factory=anyio.Event, init=False)
    _patience: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    async def messages(
        self, request: SpeechRequest, setup: tuple[Mapping[str, Any], list[dict[str, Any]]], stream: WebSocketStream
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """Yield the setup, the earlier conversation, and then the messages for each input."""
        first, history = setup
        yield first
        await self._ready.wait()
        if history:
            yield {"clientContent": {"turns": history, "turnComplete": True}}
        async for item in request.input:
            for message in self.live.give(item):
                yield message
            if self.live.has_stopped:
                stream.deliver(STOPPED)
            self._wait()

    async def receive(self, stream: WebSocketStream) -> Mapping[str, Any]:
        """Return the next message. Raise `ProviderError` if the vendor has closed the connection, or says nothing."""
        with anyio.CancelScope() as self._patience:
            self._wait()
            try:
                received = await anext(stream)
            except StopAsyncIteration:
                raise ProviderError(_PROVIDER, "unavailable") from None
            with malformed_answers(_PROVIDER):
                message: Mapping[str, Any] = orjson.loads(received) if isinstance(received, bytes) else received
                if "setupComplete" in message:
                    self._ready.set()
            return message
        raise ProviderError(_PROVIDER, "timeout")

    def _wait(self) -> None:
        owed = self.live.is_waiting or not self._ready.is_set()
        self._patience.deadline = anyio.current_time() + self.timeout if owed else math.inf


# ---- the provider ----------------------------------------------------------------------------------------------------


@service("speech", "google", key_page=KEY_PAGE)
@asynccontextmanager
async def google_speech(
    api_key: Secret,
    /,
    base_url: BaseURL = "https://generativelanguage.googleapis.com",
    timeout: Timeout = 10.0,
) -> AsyncGenerator[GoogleSpeech]:
    """Google's speech-to-speech models."""
    async with (
        connect_websockets(
            _PROVIDER,
            api_key,
            base_url=base_url,
            key_header="x-goog-api-key",
            timeout=timeout,
            categorize=_category_of,
        ) as sockets,
        connect(api_key, base_url=f"{base_url.rstrip('/')}/v1", timeout=timeout) as models,
    ):
        yield GoogleSpeech(sockets, models, timeout)


@options(google_speech)
def speaking(
    speech: GoogleSpeech,
    /,
    model: Annotated[
        Literal["gemini-3.8-live", "gemini-3.1-flash-live-preview"] | str, Doc("The model that hears and speaks.")
    ] = "gemini-3.8-live",
    voice: Annotated[
        Literal["Aoede", "Charon", "Fenrir", "Kore", "Leda", "Orus", "Puck", "Zephyr"] | str, Doc("The voice.")
    ] = "Puck",
    language: Annotated[
        str | None, Doc("The language to speak, such as `en-US`. By default, that of the user.")
    ] = None,
    thinking_level: Annotated[
        Literal["minimal", "low", "medium", "high"] | None,
        Doc("How much the model thinks before it answers. `gemini-3.8-live` refuses every level."),
    ] = None,
    temperature: Annotated[
        Annotated[float, ge(0), le(2)] | None, Doc("Sampling temperature. By default, the model's own.")
    ] = None,
    compression: Annotated[
        bool,
        Doc("Let the vendor forget the oldest part of a long conversation, instead of ending it."),
    ] = True,
) -> None:
    """Set the model and its voice. A conversation uses the old values until its connection is opened again."""
    speech.model = model
    speech.generation = {
        "speechConfig": _present(
            {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}, "languageCode": language}
        ),
        "thinkingConfig": thinking_level and {"thinkingLevel": thinking_level.upper()},
        "temperature": temperature,
    }
    speech.compression = {"slidingWindow": {}} if compression else None


@options(google_speech)
def hearing(
    speech: GoogleSpeech,
    /,
    start_sensitivity: Annotated[
        Literal["low", "high"] | None, Doc("How easily a sound counts as speech. By default, high.")
    ] = None,
    end_sensitivity: Annotated[
        Literal["low", "high"] | None, Doc("How easily a pause counts as the end of speech. By default, high.")
    ] = None,
    prefix_ms: Annotated[Annotated[int, ge(0)] | None, Doc("How long speech must last to count, in ms.")] = None,
    silence_ms: Annotated[Annotated[int, ge(0)] | None, Doc("The pause that ends speech, in ms.")] = None,
    languages: Annotated[
        tuple[str, ...], Doc("Languages that the user may speak, such as `en-US`, for the transcripts.")
    ] = (),
) -> None:
    """Set how the user is heard. A conversation uses the old values until its connection is opened again."""
    speech.detection = {
        "startOfSpeechSensitivity": start_sensitivity and f"START_SENSITIVITY_{start_sensitivity.upper()}",
        "endOfSpeechSensitivity": end_sensitivity and f"END_SENSITIVITY_{end_sensitivity.upper()}",
        "prefixPaddingMs": prefix_ms,
        "silenceDurationMs": silence_ms,
    }
    speech.transcription = {"languageCodes": [*languages] or None}
