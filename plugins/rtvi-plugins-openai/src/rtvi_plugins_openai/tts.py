"""The provider `openai` of kind `tts`. Each sentence is a request, and its audio comes as it is made."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.kinds import TTSPiece, TTSRequest, Usage
from rtvi_plugins_vendor import VendorHTTP, key_check

from ._audio import KEY_PAGE, connect_audio
from .llm import BaseURL, Timeout

__all__ = ("OpenAITTS", "openai_tts", "voice")

#: The format "pcm": 16-bit, mono, with this rate in Hz.
RATE = 24_000
#: The longest text of a request, in characters.
_LONGEST = 4096


@define(eq=False)
class OpenAITTS:
    """OpenAI's voices. `fields` are the fields of the next request, with the vendor's names; None is not sent."""

    http: VendorHTTP = field(repr=False)
    fields: Mapping[str, Any] = {}

    check_key = key_check("models")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield audio as it arrives, then the usage. OpenAI reports no times of words.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        characters = 0
        fields = {name: value for name, value in self.fields.items() if value is not None}
        async for sentence in request.text:
            for text in textwrap.wrap(sentence, _LONGEST):
                characters += len(text)
                body = {**fields, "input": text, "response_format": "pcm", "stream_format": "audio"}
                async with self.http.stream("POST", "audio/speech", json=body) as response:
                    async for audio in response.audio(RATE):
                        yield audio
        if characters:
            yield Usage(characters=characters, model=str(fields.get("model")))


@service("tts", "openai", key_page=KEY_PAGE)
@asynccontextmanager
async def openai_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.openai.com/v1", timeout: Timeout = 30.0
) -> AsyncGenerator[OpenAITTS]:
    """OpenAI's voices, or any server with OpenAI's speech API."""
    async with connect_audio(api_key, base_url, timeout) as http:
        yield OpenAITTS(http)


@options(openai_tts)
def voice(
    tts: OpenAITTS,
    /,
    model: Annotated[
        Literal["gpt-4o-mini-tts", "tts-1", "tts-1-hd"] | str, Doc("The model that speaks.")
    ] = "gpt-4o-mini-tts",
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
        Doc("The voice."),
    ] = "marin",
    instructions: Annotated[
        str | None, Doc("How to speak, such as `Speak calmly.` The models tts-1 and tts-1-hd ignore it.")
    ] = None,
    speed: Annotated[Annotated[float, ge(0.25), le(4)] | None, Doc("The speed; 1 is normal.")] = None,
) -> None:
    """Set the voice. Options that are not set are not sent."""
    tts.fields = {"model": model, "voice": voice, "instructions": instructions, "speed": speed}
