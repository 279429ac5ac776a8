"""The STT and the TTS of Acme, an invented vendor. Both talk over a WebSocket."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from attrs import define
from attrs.validators import gt
from rtvi_plugins import Doc, ProviderError, Secret, options, service
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    Settled,
    STTPiece,
    STTRequest,
    Transcript,
    TTSPiece,
    TTSRequest,
    Word,
)
from rtvi_plugins.security import http_url
from rtvi_plugins_vendor import SharedWebSocket, VendorWebSockets, WebSocketStream, connect_websockets
from rtvi_plugins_vendor.speech import Listening

URL = "https://api.acme.example/v1"
RATE = 24_000


# ---- recognition -----------------------------------------------------------------------------------------------------


@define
class AcmeSTT:
    """Sends audio and receives transcripts at the same time."""

    acme: VendorWebSockets
    timeout: float
    language: str = ""

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Recognise a whole session over one connection. At a pause, Acme finishes its text."""
        if request.endpointing:
            raise AuthorError("Acme does not find utterances by itself. Name a vad in the bot's services.")
        language, listening = self.language, Listening("acme", self.timeout)
        sent = listening.messages(request.audio, pause={"type": "pause"})
        async with self._open(keep_alive={"type": "keep_alive"}) as stream, stream.sending(sent):
            while self.language == language:  # after a change, the framework calls `listen` again
                message = await listening.receive(stream)
                transcript = Transcript("", True) if message is None else _transcript(message)
                yield transcript
                if transcript.final and listening.is_paused:
                    yield listening.settle()
                    yield Settled()

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Recognise one utterance over a connection of its own. Its last message says that Acme is done."""
        async with self._open() as stream, stream.sending(_audio(request)):
            async for message in stream:
                if message == {"done": True}:
                    return
                yield _transcript(message)
        raise ProviderError("acme", "unavailable")  # half an answer

    def _open(self, keep_alive: Any = None) -> AbstractAsyncContextManager[WebSocketStream]:
        params = {"language": self.language, "rate": 16_000}
        return self.acme.open("listen", params=params, keep_alive=keep_alive)


async def _audio(request: STTRequest) -> AsyncGenerator[bytes | dict[str, Any]]:
    async for audio in request.audio:
        yield audio.data
    yield {"type": "end"}


def _transcript(message: object) -> Transcript:
    match message:
        case {"text": str(text), "final": bool(final)}:
            return Transcript(text, final)
        case _:
            raise ProviderError("acme", "unavailable")


Timeout = Annotated[float, gt(0), Doc("How long Acme may be silent, in seconds.")]


@service("stt", "acme")
@asynccontextmanager
async def acme_stt(
    api_key: Secret, /, base_url: Annotated[str, http_url] = URL, timeout: Timeout = 10.0
) -> AsyncGenerator[AcmeSTT]:
    """Acme's speech recognition."""
    async with connect_websockets("acme", api_key, base_url=base_url, timeout=timeout) as acme:
        yield AcmeSTT(acme, timeout)


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
async def acme_tts(
    api_key: Secret, /, base_url: Annotated[str, http_url] = URL, timeout: Timeout = 10.0
) -> AsyncGenerator[AcmeTTS]:
    """Acme's voices."""
    async with connect_websockets("acme", api_key, base_url=base_url, timeout=timeout) as acme:
        yield AcmeTTS(acme.share("speak", route=_context, params={"rate": RATE}))


@options(acme_tts)
def speaking(tts: AcmeTTS, /, voice: Annotated[str, Doc("The name of the voice.")] = "eva") -> None:
    """Set the voice."""
    tts.voice = voice
