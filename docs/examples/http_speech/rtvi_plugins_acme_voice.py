"""A TTS of Acme, an invented vendor. Each sentence is an HTTP request, and its audio is the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from attrs import define
from rtvi_plugins import Doc, Secret, options, service
from rtvi_plugins.kinds import TTSPiece, TTSRequest, Usage
from rtvi_plugins_vendor import BaseURL, Timeout, VendorHTTP, connect_http, key_check

RATE = 22_050


@define
class AcmeTTS:
    """Speaks one sentence after the other."""

    http: VendorHTTP
    voice: str = ""

    check_key = key_check("v1/voices")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield the audio of each sentence as it arrives."""
        characters = 0
        async for text in request.text:
            if not text.strip():
                continue
            body = {"voice": self.voice, "text": text, "format": "s16le"}
            async with self.http.stream("POST", "v1/speech", json=body) as response:
                async for audio in response.audio(RATE):
                    yield audio
            characters += len(text)
        if characters:
            yield Usage(characters=characters)


@service("tts", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.acme.example", timeout: Timeout = 10.0
) -> AsyncGenerator[AcmeTTS]:
    """Acme's voices."""
    async with connect_http("acme", api_key, base_url=base_url, timeout=timeout) as http:
        yield AcmeTTS(http)


@options(acme_tts)
def configure(
    tts: AcmeTTS, /, voice: Annotated[Literal["anna", "ben"] | str, Doc("The voice that speaks.")] = "anna"
) -> None:
    """Set the voice."""
    tts.voice = voice
