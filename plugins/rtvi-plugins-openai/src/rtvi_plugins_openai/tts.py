"""The provider `openai` of kind `tts`: voices over the Realtime API, and over the older speech API.

The model decides which API speaks. Each sentence is a request, and its audio comes as it is made.
"""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Final, Literal

from attrs import define, evolve, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError, RequestError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage
from rtvi_plugins_vendor import (
    Retry,
    ReusedWebSockets,
    VendorHTTP,
    VendorWebSockets,
    WebSocketStream,
    connect_websockets,
    key_check,
    malformed_answers,
    parameters,
)

from ._audio import KEY_PAGE, connect_audio
from ._reading import Reading, is_realtime, session_update
from ._realtime import RATE
from .llm import BaseURL, Timeout

__all__ = ("OpenAITTS", "openai_tts", "voice")

_PROVIDER: Final = "openai"
#: The longest text of a request, in characters.
_LONGEST: Final = 4096
#: The voices that Realtime models do not have, and their highest speed.
_OLDER_VOICES: Final = ("fable", "nova", "onyx")
_HIGHEST_SPEED: Final = 1.5


@define(eq=False)
class OpenAITTS:
    """OpenAI's voices. `fields` are the fields of the next request, with the vendor's names; None is not sent."""

    http: VendorHTTP = field(repr=False)
    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}
    _reused: ReusedWebSockets = field(init=False, repr=False)
    #: The last settings with which the vendor has read.
    _accepted: Mapping[str, Any] | None = field(default=None, init=False, repr=False)
    #: The name of the tags around each text. Nobody can know it, so no text can contain its end.
    _mark: str = field(factory=lambda: f"text-{secrets.token_hex(4)}", init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Use connections again."""
        self._reused = self.sockets.reuse()

    check_key = key_check("models")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield audio as it arrives, then the usage. OpenAI reports no times of words.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, stops the vendor.
        """
        fields = self.fields
        spent = Usage(model=str(fields["model"]))
        speak = self._read if is_realtime(fields["model"]) else self._request
        async for sentence in request.text:
            for text in textwrap.wrap(sentence, _LONGEST):
                spent = evolve(spent, characters=spent.characters + len(text))
                async with aclosing(speak(text, fields)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Audio):
                            yield piece
                        else:
                            spent = _sum(spent, piece)
        if spent.characters:
            yield spent

    async def _request(self, text: str, fields: Mapping[str, Any]) -> AsyncGenerator[Audio | Usage]:
        """Speak a text over the speech API."""
        body = {**fields, "input": text, "response_format": "pcm", "stream_format": "audio"}
        async with self.http.stream("POST", "audio/speech", json=parameters(body)) as response:
            async for audio in response.audio(RATE):
                yield audio

    async def _read(self, text: str, fields: Mapping[str, Any]) -> AsyncGenerator[Audio | Usage]:
        """Have a Realtime model read a text. If the connection is lost before any audio has come, try another one.

        The vendor closes each connection after an hour.
        """
        hello = session_update(**fields, mark=self._mark)
        for is_last in (False, True):
            reading = Reading(_PROVIDER, text, self._mark)
            try:
                async with (
                    self._reused.open("realtime", params={"model": fields["model"]}, hello=hello) as stream,
                    aclosing(_speech(stream, reading, is_accepted=hello == self._accepted)) as pieces,
                ):
                    async for piece in pieces:
                        self._accepted = hello
                        yield piece
                return
            except ProviderError as failed:
                if is_last or reading.is_over or reading.has_audio or failed.category != "unavailable":
                    raise


async def _speech(stream: WebSocketStream, reading: Reading, *, is_accepted: bool) -> AsyncGenerator[Audio | Usage]:
    """Yield the audio of a text, and the usage. `is_accepted` says whether the vendor is known to take the settings."""
    try:
        stream.post(reading.ask())
        while not reading.is_over:
            event = await anext(stream)
            with malformed_answers(_PROVIDER):
                found = reading.take(event)
            for audio in found:
                yield audio
        yield reading.usage
    finally:
        # One that has not begun has no id yet, so it cannot be stopped. The vendor makes it, and nobody hears it.
        if reading.has_begun and not reading.is_over:
            stream.post(reading.cancel())
        # The next reading ignores the rest of this response, so it can use the connection at once. But if the vendor
        # may still refuse the settings, the connection is closed: without them, the model would answer the next text.
        if reading.has_begun or is_accepted:
            stream.finish()


def _sum(one: Usage, other: Usage) -> Usage:
    """Return the first usage with the tokens of both."""
    return evolve(
        one,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
    )


# ---- the provider ----------------------------------------------------------------------------------------------------


@service("tts", "openai", key_page=KEY_PAGE)
@asynccontextmanager
async def openai_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.openai.com/v1", timeout: Timeout = 30.0
) -> AsyncGenerator[OpenAITTS]:
    """OpenAI's voices, or any server with one of OpenAI's two APIs for speech."""
    async with (
        connect_audio(api_key, base_url, timeout) as http,
        connect_websockets(_PROVIDER, api_key, base_url=base_url, timeout=timeout, retry=Retry(times=0)) as sockets,
    ):
        yield OpenAITTS(http, sockets)


@options(openai_tts)
def voice(
    tts: OpenAITTS,
    /,
    model: Annotated[
        Literal[
            "gpt-realtime-2.1-mini",
            "gpt-realtime-2.1",
            "gpt-realtime-2",
            "gpt-realtime-1.5",
            "gpt-4o-mini-tts",
            "tts-1",
            "tts-1-hd",
        ]
        | str,
        Doc(
            "The model that speaks. If its name begins with `gpt-realtime`, it speaks over the Realtime API, otherwise "
            "over the speech API, which OpenAI shuts down on 6 January 2027."
        ),
    ] = "gpt-realtime-2.1-mini",
    voice: Annotated[
        Literal[
            "alloy",
            "ash",
            "ballad",
            "cedar",
            "coral",
            "echo",
            "fable",
            "marin",
            "nova",
            "onyx",
            "sage",
            "shimmer",
            "verse",
        ]
        | str,
        Doc("The voice. Realtime models have no fable, nova and onyx."),
    ] = "marin",
    instructions: Annotated[
        str | None, Doc("How to speak, such as `Speak calmly.` The models tts-1 and tts-1-hd ignore it.")
    ] = None,
    speed: Annotated[
        Annotated[float, ge(0.25), le(4)] | None, Doc("The speed; 1 is normal. Realtime models speak at up to 1.5.")
    ] = None,
) -> None:
    """Set the voice. Options that are not set are not sent. For new ones, a Realtime model needs a new connection."""
    if is_realtime(model) and voice in _OLDER_VOICES:
        raise RequestError(f"The model {model!r} has no voice {voice!r}. Choose another voice, such as 'marin'.")
    if is_realtime(model) and speed is not None and speed > _HIGHEST_SPEED:
        raise RequestError(f"The model {model!r} speaks at a speed of up to {_HIGHEST_SPEED}. Choose a lower speed.")
    tts.fields = {"model": model, "voice": voice, "instructions": instructions, "speed": speed}
