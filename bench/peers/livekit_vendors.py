"""The classes of LiveKit's plugins, used directly: the vendors' services as `vendors/drive.py` asks for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.llm import ChatContext
from livekit.agents.stt import SpeechEventType
from vendors.workload import KEY, MODEL_OF_GOOGLE, SENTENCE, TEXTS, VOICE

_CONNECTION = APIConnectOptions(max_retry=0, timeout=10)
_LAST = SENTENCE.split()[-1]


def bases(vendor: str, kind: str, base: str) -> dict[str, Any]:
    """Return the constructor's arguments for the address of the fakes."""
    match vendor, kind:
        case "openai", "stt":
            return {"base_url": f"{base}/whole/v1"}
        case "openai" | "elevenlabs", _:
            return {"base_url": f"{base}/v1"}
        case "deepgram", "stt":
            return {"base_url": f"{base}/v1/listen"}
        case "deepgram", _:
            return {"base_url": f"{base}/v1/speak"}
        case "assemblyai", _:
            return {"base_url": base.replace("http", "ws", 1)}
        case "google", _:
            os.environ["GOOGLE_GEMINI_BASE_URL"] = base
            return {}
        case _:
            return {"base_url": base}


def values_of(vendor: str, kind: str) -> dict[str, Any]:
    """Return arguments without which the fakes do not answer, or do less for this contestant than for the others."""
    match vendor, kind:
        case "google", _:
            return {"model": MODEL_OF_GOOGLE}
        case "elevenlabs", _:
            return {"voice_id": VOICE, "encoding": "pcm_24000"}
        case "openai", "tts":
            return {"response_format": "pcm"}
        case "cartesia", "stt":  # with ink-2, LiveKit does not ask for the end of an utterance
            return {"model": "ink-whisper"}
        case "assemblyai", _:
            return {"model": "universal-streaming-english", "format_turns": True}
        case _:
            return {}


class Answering:
    """An LLM or a TTS."""

    def __init__(self, service: Any, kind: str) -> None:
        self._service, self._kind = service, kind

    def _speak(self) -> Iterator[Any]:
        if not self._service.capabilities.streaming:
            # One after the other: each stream makes its request when it is made.
            yield from (self._service.synthesize(each, conn_options=_CONNECTION) for each in TEXTS)
            return
        stream = self._service.stream(conn_options=_CONNECTION)
        for text in TEXTS:
            stream.push_text(text)
        stream.end_input()
        yield stream

    def _streams(self) -> Iterable[Any]:
        if self._kind == "tts":
            return self._speak()
        context = ChatContext.empty()
        context.add_message(role="system", content="Be brief.")
        context.add_message(role="user", content="Hello")
        return [self._service.chat(chat_ctx=context, conn_options=_CONNECTION)]

    async def pieces(self) -> AsyncGenerator[object]:
        """Yield what the user would read or hear. Leaving it is an interruption."""
        for stream in self._streams():
            try:
                async for piece in stream:
                    if self._kind == "tts" or (piece.delta and piece.delta.content):
                        yield piece
            finally:
                await stream.aclose()


class Listening:
    """An STT that listens to a whole session, or to one utterance after the other."""

    #: Which message of the vendor makes the text final, of those that the server logs.
    made_final = "last_words"

    def __init__(self, service: Any) -> None:
        self._service, self._frames = service, list[Any]()
        self._heard: asyncio.Event = asyncio.Event()
        self._stream = service.stream(conn_options=_CONNECTION) if service.capabilities.streaming else None

    async def hear(self, frame: bytes) -> None:
        """Take a frame of the user's speech."""
        made = rtc.AudioFrame(frame, 16_000, 1, len(frame) // 2)
        if self._stream is None:
            self._frames.append(made)
        else:
            self._stream.push_frame(made)

    async def pause(self) -> None:
        """Note that the user has ended."""
        if self._stream is None:
            self._heard.set()
            return
        self._stream.flush()
        if hasattr(self._stream, "force_endpoint"):
            await asyncio.sleep(0)  # else it may overtake the last audio
            self._stream.force_endpoint()

    async def texts(self) -> AsyncGenerator[bool]:
        """Yield whether a text is final, for each one, until the last word is final: nothing else tells the end."""
        if self._stream is None:
            await self._heard.wait()
            self._heard.clear()
            frames, self._frames = self._frames, []
            await self._service.recognize(frames, conn_options=_CONNECTION)
            yield True
            return
        async for event in self._stream:
            if event.type in (SpeechEventType.INTERIM_TRANSCRIPT, SpeechEventType.FINAL_TRANSCRIPT):
                final = event.type == SpeechEventType.FINAL_TRANSCRIPT
                yield final
                if final and event.alternatives[0].text.rstrip(". ").endswith(_LAST):
                    return

    async def aclose(self) -> None:
        """Leave."""
        if self._stream is not None:
            await self._stream.aclose()


@asynccontextmanager
async def vendors(vendor: str, kind: str, base: str) -> AsyncGenerator[Any]:
    """Open a service with an HTTP session of its own, as a job of LiveKit's has one."""
    cls = getattr(import_module(f"livekit.plugins.{vendor}"), kind.upper())
    arguments = {"api_key": KEY, **bases(vendor, kind, base), **values_of(vendor, kind)}
    async with aiohttp.ClientSession() as session:
        if vendor not in ("openai", "anthropic", "google"):
            arguments["http_session"] = session
        service = cls(**arguments)
        if kind == "stt":
            listening = Listening(service)
            yield listening
            await listening.aclose()
        else:
            yield Answering(service, kind)
        await service.aclose()
