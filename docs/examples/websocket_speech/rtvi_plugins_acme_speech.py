"""The STT and the TTS of Acme, an invented vendor. Both talk over a WebSocket."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from attrs import define
from rtvi_plugins import Doc, Secret, options, service
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, TTSPiece, TTSRequest, Word
from rtvi_plugins.security import http_url
from rtvi_plugins_vendor import SharedWebSocket, VendorWebSockets, connect_websockets

URL = "https://api.acme.example/v1"
RATE = 24_000


# ---- recognition: a connection for each utterance --------------------------------------------------------------------


@define
class AcmeSTT:
    """Sends audio and receives transcripts at the same time."""

    acme: VendorWebSockets
    language: str = ""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield each transcript as it arrives. Acme closes the connection after the last one."""
        params = {"language": self.language, "rate": 16_000}
        async with self.acme.open("listen", params=params) as stream, stream.sending(_audio(request)):
            async for message in stream:
                yield Transcript(message["text"], message["final"])


async def _audio(request: STTRequest) -> AsyncGenerator[bytes | dict[str, Any]]:
    async for audio in request.audio:
        yield audio.data
    yield {"type": "end"}


@service("stt", "acme")
@asynccontextmanager
async def acme_stt(api_key: Secret, /, base_url: Annotated[str, http_url] = URL) -> AsyncGenerator[AcmeSTT]:
    """Acme's speech recognition."""
    async with connect_websockets("acme", api_key, base_url=base_url) as acme:
        yield AcmeSTT(acme)


@options(acme_stt)
def hearing(stt: AcmeSTT, /, language: Annotated[str, Doc("A language tag, such as `en`.")] = "en") -> None:
    """Set the language."""
    stt.language = language


# ---- synthesis: one connection, and a context for each request -------------------------------------------------------


@define
class AcmeTTS:
    """Speaks sentences while the LLM writes the next ones."""

    acme: SharedWebSocket
    voice: str = ""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield words and audio as they arrive."""
        context = uuid4().hex
        cancel = {"context": context, "type": "cancel"}
        async with (
            self.acme.open(context, goodbye=cancel) as stream,
            stream.sending(self._sentences(request, context)),
        ):
            async for message in stream:
                match message:
                    case {"word": word, "start": start}:
                        yield Word(word, start)
                    case {"audio": audio}:
                        yield Audio(b64decode(audio), RATE)
                    case _:
                        stream.finish()
                        return

    async def _sentences(self, request: TTSRequest, context: str) -> AsyncGenerator[dict[str, Any]]:
        async for text in request.text:
            yield {"context": context, "type": "speak", "voice": self.voice, "text": text}
        yield {"context": context, "type": "end"}


def _context(message: Any) -> object:
    return message["context"]


@service("tts", "acme")
@asynccontextmanager
async def acme_tts(api_key: Secret, /, base_url: Annotated[str, http_url] = URL) -> AsyncGenerator[AcmeTTS]:
    """Acme's voices."""
    async with connect_websockets("acme", api_key, base_url=base_url) as acme:
        yield AcmeTTS(acme.share("speak", route=_context, params={"rate": RATE}))


@options(acme_tts)
def speaking(tts: AcmeTTS, /, voice: Annotated[str, Doc("The name of the voice.")] = "eva") -> None:
    """Set the voice."""
    tts.voice = voice
