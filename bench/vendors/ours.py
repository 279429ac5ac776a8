"""Our providers, native or through the bridge to LiveKit's plugins, as `drive.py` asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any

from vendors.workload import KEY, TEXTS

from rtvi_plugins import Secret
from rtvi_plugins.kinds import (
    Audio,
    ListenRequest,
    LLMRequest,
    Pause,
    Settled,
    STTRequest,
    Text,
    Transcript,
    TTSRequest,
)

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


async def _texts() -> AsyncIterator[str]:
    for text in TEXTS:
        yield text


class Answering:
    """An LLM or a TTS."""

    def __init__(self, live: Any, kind: str) -> None:
        self._live, self._kind = live, kind

    async def pieces(self) -> AsyncGenerator[object]:
        """Yield what the user would read or hear. Leaving it is an interruption."""
        stream, wanted = (
            (self._live.respond(LLMRequest(MESSAGES)), Text)
            if self._kind == "llm"
            else (self._live.synthesize(TTSRequest(_texts())), Audio)
        )
        try:
            async for piece in stream:
                if isinstance(piece, wanted):
                    yield piece
        finally:
            await stream.aclose()


class _Microphone(AsyncIterator[Any]):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def __anext__(self) -> Any:
        found = await self.queue.get()
        if found is None:
            raise StopAsyncIteration
        return found


class Listening:
    """An STT that listens to a whole session, or to one utterance after the other."""

    #: Which message of the vendor makes the text final, of those that the server logs.
    made_final = "answers"

    def __init__(self, live: Any) -> None:
        self._live, self._microphone = live, _Microphone()
        self._session: Any = None
        if hasattr(live, "listen"):
            self._session = live.listen(ListenRequest(self._microphone))

    async def hear(self, frame: bytes) -> None:
        """Take a frame of the user's speech."""
        self._microphone.queue.put_nowait(Audio(frame, 16_000))

    async def pause(self) -> None:
        """Note that the user has ended."""
        self._microphone.queue.put_nowait(Pause() if self._session is not None else None)

    async def texts(self) -> AsyncGenerator[bool]:
        """Yield whether a text is final, for each one, until the utterance is settled."""
        pieces = self._session or self._live.transcribe(STTRequest(self._microphone))
        async for piece in pieces:
            if isinstance(piece, Transcript) and piece.text:
                yield piece.final
            elif isinstance(piece, Settled):
                break

    async def aclose(self) -> None:
        """Leave."""
        if self._session is not None:
            await self._session.aclose()


#: The functions that set the options of each service, with its own defaults.
_OPTIONS = {
    ("openai", "llm"): ("openai_model", "openai_thinking", "configure"),
    ("anthropic", "llm"): ("configure",),
    ("google", "llm"): ("configure",),
    ("openai", "tts"): ("voice",),
    ("deepgram", "tts"): ("voice",),
    ("cartesia", "tts"): ("speech",),
    ("elevenlabs", "tts"): ("speech",),
}
#: OpenAI's voice over HTTP, which all contestants have. Our default is one of the Realtime API.
_VALUES = {("openai", "tts"): {"model": "gpt-4o-mini-tts"}}


@asynccontextmanager
async def native(vendor: str, kind: str, base: str) -> AsyncGenerator[Any]:
    """Open a provider of a plugin, with its own defaults unless the others have another API."""
    module = import_module(f"rtvi_plugins_{vendor}.{kind}")
    base = base + "/v1" if vendor in ("openai", "anthropic", "google") else base
    async with getattr(module, f"{vendor}_{kind}")(Secret(KEY), base_url=base) as live:
        for name in _OPTIONS.get((vendor, kind), ("recognition",)):
            getattr(module, name)(live, **_VALUES.get((vendor, kind), {}))
        async with _driver(live, kind) as driver:
            yield driver


@asynccontextmanager
async def _driver(live: Any, kind: str) -> AsyncGenerator[Any]:
    if kind != "stt":
        yield Answering(live, kind)
        return
    listening = Listening(live)
    try:
        yield listening
    finally:
        await listening.aclose()


def bridged(vendor: str, kind: str, base: str) -> AbstractAsyncContextManager[Any]:
    """Open a LiveKit class through `rtvi-plugins-livekit`."""
    return _bridged(vendor, kind, base)


@asynccontextmanager
async def _bridged(vendor: str, kind: str, base: str) -> AsyncGenerator[Any]:
    from peers.livekit_vendors import bases, values_of

    from rtvi_plugins_livekit.declare import declare

    opens, configure, *_ = declare(kind, vendor)
    base = f"{base}/http" if (vendor, kind) == ("deepgram", "tts") else base
    async with opens(Secret(KEY), **bases(vendor, kind, base)) as live:
        configure(live, **values_of(vendor, kind))
        async with _driver(live, kind) as driver:
            yield driver
