"""The STT and the TTS of Acme, an invented vendor. Both talk over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from attrs import define
from rtvi_plugins import Doc, ProviderError, Secret, options, service
from rtvi_plugins.kinds import (
    ListenPiece,
    ListenRequest,
    SpeechBegan,
    SpeechEnded,
    STTPiece,
    STTRequest,
    Transcript,
    TTSPiece,
    TTSRequest,
    Usage,
)
from rtvi_plugins_vendor import (
    BaseURL,
    Listening,
    SharedWebSocket,
    Speech,
    Timeout,
    VendorWebSockets,
    connect_websockets,
    one_utterance,
    texts_to_speak,
)

URL = "https://api.acme.example"
RATE = 24_000


# ---- recognition -----------------------------------------------------------------------------------------------------


@define
class AcmeSTT:
    """Sends audio and receives transcripts at the same time."""

    sockets: VendorWebSockets
    language: str = ""

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Recognise a whole session over one connection. At a pause, Acme finishes its text."""
        language = self.language
        params = {"language": language, "rate": 16_000, "endpointing": request.endpointing}
        async with (
            self.sockets.open("v1/listen", params=params, keep_alive={"type": "keep_alive"}) as stream,
            Listening(stream, request.audio, pause={"type": "pause"}) as listening,
        ):
            async for message in listening:
                match message:
                    case {"text": str(text), "final": bool(final)}:
                        yield Transcript(text, final)
                    case {"type": "speech_began"}:
                        yield SpeechBegan()
                    case {"type": "speech_ended"}:
                        yield SpeechEnded()
                    case {"type": "paused"}:
                        for piece in listening.settle():
                            yield piece
                        if self.language != language:  # the framework calls `listen` again
                            return
                    case _:
                        raise ProviderError("acme", "unavailable")

    def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Recognise one utterance over a connection of its own."""
        return one_utterance(self.listen, request)


@service("stt", "acme")
@asynccontextmanager
async def acme_stt(api_key: Secret, /, base_url: BaseURL = URL, timeout: Timeout = 10.0) -> AsyncGenerator[AcmeSTT]:
    """Acme's speech recognition."""
    async with connect_websockets("acme", api_key, base_url=base_url, timeout=timeout) as sockets:
        yield AcmeSTT(sockets)


@options(acme_stt)
def hearing(stt: AcmeSTT, /, language: Annotated[str, Doc("A language tag, such as `en`.")] = "en") -> None:
    """Set the language."""
    stt.language = language


# ---- synthesis: one connection, and a context for each request -------------------------------------------------------


@define
class AcmeTTS:
    """Speaks sentences while the LLM writes the next ones."""

    socket: SharedWebSocket
    voice: str = ""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield words and audio as they arrive. Acme counts the times from the start of the context."""
        if (texts := await texts_to_speak(request.text)) is None:
            return
        speech = Speech("acme", RATE)
        context = {"context": speech.context}

        async def messages() -> AsyncGenerator[dict[str, Any]]:
            async for text in texts:
                yield {**context, "type": "speak", "voice": self.voice, "text": text}
            yield {**context, "type": "end"}

        cancel = {**context, "type": "cancel"}
        async with self.socket.open(speech.context, goodbye=cancel) as stream, stream.sending(messages()):
            async for message in stream:
                match message:
                    case {"words": [*words], "starts": [*starts]}:
                        for word in speech.words(words, starts):
                            yield word
                    case {"audio": str(data)}:
                        for audio in speech.audio(data):
                            yield audio
                    case {"characters": int(characters)}:  # the last message
                        stream.finish()
                        yield Usage(characters=characters)
                        return
                    case _:
                        raise ProviderError("acme", "unavailable")


@service("tts", "acme")
@asynccontextmanager
async def acme_tts(api_key: Secret, /, base_url: BaseURL = URL, timeout: Timeout = 10.0) -> AsyncGenerator[AcmeTTS]:
    """Acme's voices."""
    async with connect_websockets("acme", api_key, base_url=base_url, timeout=timeout) as sockets:
        yield AcmeTTS(sockets.share("v1/speak", route="context", params={"rate": RATE}))


@options(acme_tts)
def speaking(tts: AcmeTTS, /, voice: Annotated[str, Doc("The name of the voice.")] = "eva") -> None:
    """Set the voice."""
    tts.voice = voice
