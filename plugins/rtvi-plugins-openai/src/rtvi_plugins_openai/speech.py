"""The provider `openai` of kind `speech`: a speech-to-speech model, over OpenAI's Realtime API."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Annotated, Any, Literal

import anyio
from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, Pause, SpeechPiece, SpeechRequest
from rtvi_plugins.voice.resampling import Resampler
from rtvi_plugins_vendor import (
    VendorWebSockets,
    WebSocketStream,
    connect_websockets,
    key_check,
    malformed_answers,
    text_of,
)

from ._audio import KEY_PAGE
from ._realtime import RATE, STOPPED, Realtime, items_of
from .llm import BaseURL, Timeout

__all__ = ("OpenAISpeech", "hearing", "openai_speech", "speaking")

_PROVIDER = "openai"
_FORMAT = {"type": "audio/pcm", "rate": RATE}
#: The rate of the user's audio, in Hz.
_USER_RATE = 16_000
#: How many pieces of 32 ms are sent in one message.
_FRAMES = 3
#: Silence after the microphone went off, in seconds, so that the vendor finds the end of the user's speech.
_SILENCE_SECONDS = 1.0


@define(eq=False)
class OpenAISpeech:
    """A Realtime model. The fields are those of the next connection, with the vendor's names; None is not sent."""

    sockets: VendorWebSockets = field(repr=False)
    timeout: float = 10.0
    model: str = ""
    session: Mapping[str, Any] = {}
    input: Mapping[str, Any] = {}
    output: Mapping[str, Any] = {}
    turn_detection: Mapping[str, Any] = {}

    check_key = key_check("models")

    async def converse(self, request: SpeechRequest, /) -> AsyncGenerator[SpeechPiece]:
        """Hold a conversation over one connection.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        realtime = Realtime(_PROVIDER, request.endpointing, self.model)
        link = _Link(realtime, self.timeout)
        async with (
            self.sockets.open("realtime", params={"model": self.model}) as stream,
            stream.sending(link.messages(request, self._session(request), stream)),
        ):
            while True:
                event = await link.receive(stream)
                with malformed_answers(_PROVIDER):
                    pieces = realtime.take(event)
                for message in realtime.due():
                    await stream.send(message)
                for piece in pieces:
                    yield piece

    def _session(self, request: SpeechRequest) -> dict[str, Any]:
        detection = _present(self.turn_detection) if request.endpointing else None
        audio = {
            "input": {"format": _FORMAT, **_present(self.input), "turn_detection": detection},
            "output": {"format": _FORMAT, **_present(self.output)},
        }
        instructions = "\n\n".join(text_of(each["content"]) for each in request.messages[: _prompts(request)])
        tools = [{"type": "function", **each} for each in request.functions]
        choice = request.tool_choice
        named = None if choice in (None, "none", "auto", "required") else {"type": "function", "name": choice}
        session = {"instructions": instructions or None, "tools": tools, "tool_choice": named or choice}
        wanted = {
            "output_modalities": ["audio" if request.spoken else "text"],
            "audio": audio,
            **self.session,
            **session,
        }
        return {"type": "session.update", "session": {"type": "realtime", **_present(wanted)}}


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _prompts(request: SpeechRequest) -> int:
    """Return the number of the system's messages at the beginning."""
    return sum(1 for _ in takewhile(lambda each: each["role"] in ("system", "developer"), request.messages))


@define(eq=False)
class _Link:
    """What is sent on a connection, and how long the vendor may be silent when it owes an event."""

    realtime: Realtime
    timeout: float
    _resampler: Resampler = field(factory=lambda: Resampler(_USER_RATE, RATE), init=False)
    _frames: list[bytes] = field(factory=list[bytes], init=False)
    _patience: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _opened: bool = field(default=False, init=False)

    async def messages(
        self, request: SpeechRequest, session: Mapping[str, Any], stream: WebSocketStream
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """Yield the session, the earlier conversation, and then the events for each input."""
        yield session
        for event in items_of(request.messages[_prompts(request) :]):
            yield event
        async for item in request.input:
            if isinstance(item, Audio):
                self._frames.append(item.data)
                if len(self._frames) == _FRAMES:
                    for event in self._audio():
                        yield event
                continue
            if isinstance(item, Pause) and self.realtime.endpointing:
                self._frames.append(bytes(round(2 * _USER_RATE * _SILENCE_SECONDS)))
            for event in (*self._audio(last=isinstance(item, Pause)), *self.realtime.give(item)):
                yield event
            if self.realtime.has_stopped:
                stream.deliver(STOPPED)
            self._wait()

    def _audio(self, *, last: bool = False) -> Iterator[dict[str, Any]]:
        data = self._resampler.feed(b"".join(self._frames), last=last)
        self._frames.clear()
        if last:
            self._resampler = Resampler(_USER_RATE, RATE)
        if data:
            yield {"type": "input_audio_buffer.append", "audio": b64encode(data).decode()}

    async def receive(self, stream: WebSocketStream) -> Any:
        """Return the next event. Raise `ProviderError` if the vendor has closed the connection, or says nothing."""
        with anyio.CancelScope() as self._patience:
            self._wait()
            try:
                event = await anext(stream)
            except StopAsyncIteration:
                raise ProviderError(self.realtime.provider, "unavailable") from None
            self._opened = self._opened or event is not STOPPED
            return event
        raise ProviderError(self.realtime.provider, "timeout")

    def _wait(self) -> None:
        owed = self.realtime.is_waiting or not self._opened
        self._patience.deadline = anyio.current_time() + self.timeout if owed else math.inf


# ---- the provider ----------------------------------------------------------------------------------------------------


@service("speech", "openai", key_page=KEY_PAGE)
@asynccontextmanager
async def openai_speech(
    api_key: Secret, /, base_url: BaseURL = "https://api.openai.com/v1", timeout: Timeout = 10.0
) -> AsyncGenerator[OpenAISpeech]:
    """OpenAI's speech-to-speech models."""
    async with connect_websockets("openai", api_key, base_url=base_url, timeout=timeout) as sockets:
        yield OpenAISpeech(sockets, timeout)


@options(openai_speech)
def speaking(
    speech: OpenAISpeech,
    /,
    model: Annotated[
        Literal["gpt-realtime-2.1-mini", "gpt-realtime-2.1", "gpt-realtime-2", "gpt-realtime-1.5"] | str,
        Doc("The model that hears and speaks."),
    ] = "gpt-realtime-2.1-mini",
    voice: Annotated[
        Literal["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"] | str,
        Doc("The voice."),
    ] = "marin",
    speed: Annotated[Annotated[float, ge(0.25), le(1.5)] | None, Doc("The speed of the voice; 1 is normal.")] = None,
    effort: Annotated[
        Literal["minimal", "low", "medium", "high", "xhigh"] | None,
        Doc("How much the model thinks before it answers. Only for models that think, such as gpt-realtime-2."),
    ] = None,
    max_tokens: Annotated[Annotated[int, ge(1), le(4096)] | None, Doc("The longest answer, in tokens.")] = None,
) -> None:
    """Set the model and its voice. A conversation uses the old values until its connection is opened again."""
    speech.model = model
    speech.output = {"voice": voice, "speed": speed}
    speech.session = {"reasoning": effort and {"effort": effort}, "max_output_tokens": max_tokens}


@options(openai_speech)
def hearing(
    speech: OpenAISpeech,
    /,
    turn_detection: Annotated[
        Literal["server_vad", "semantic_vad"],
        Doc("How the vendor finds the end of what the user says: by silence, or by a model that judges the words too."),
    ] = "server_vad",
    threshold: Annotated[
        Annotated[float, ge(0), le(1)] | None, Doc("How loud speech must be, for server_vad. By default, 0.5.")
    ] = None,
    silence_ms: Annotated[
        Annotated[int, ge(0)] | None,
        Doc("The pause that ends speech, for server_vad, in ms. By default, 500."),
    ] = None,
    eagerness: Annotated[
        Literal["low", "medium", "high", "auto"] | None, Doc("How soon the model answers, for semantic_vad.")
    ] = None,
    noise_reduction: Annotated[
        Literal["near_field", "far_field"] | None, Doc("Reduce the noise of a headset, or of a microphone in the room.")
    ] = None,
    transcription_model: Annotated[
        Literal["gpt-live-transcribe", "gpt-transcribe", "gpt-realtime-whisper"] | str,
        Doc("The model that transcribes what the user says. The vendor charges for it separately."),
    ] = "gpt-live-transcribe",
    language: Annotated[str | None, Doc("The language of the user, such as `en`, for the transcripts.")] = None,
) -> None:
    """Set how the user is heard. A conversation uses the old values until its connection is opened again."""
    is_server = turn_detection == "server_vad"
    speech.turn_detection = {
        "type": turn_detection,
        "threshold": threshold if is_server else None,
        "silence_duration_ms": silence_ms if is_server else None,
        "eagerness": None if is_server else eagerness,
    }
    transcription = {"model": transcription_model, "language": language}
    speech.input = {
        "transcription": _present(transcription),
        "noise_reduction": noise_reduction and {"type": noise_reduction},
    }
