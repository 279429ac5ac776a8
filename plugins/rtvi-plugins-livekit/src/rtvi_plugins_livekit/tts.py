"""A LiveKit TTS as a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib import import_module
from typing import Any

from attrs import define

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word

from .running import Bridged, follow, shielded

__all__ = ("BridgedTTS",)


class BridgedTTS(Bridged):
    """Speaks with a LiveKit TTS."""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Stream speech. Text goes into one stream if the plugin reports words, and else sentence by sentence."""
        async with self.use() as tts:
            can = tts.capabilities
            as_stream = can.streaming and getattr(can, "aligned_transcript", False)
            pieces = self._streamed(tts, request) if as_stream else self._sentences(tts, request)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    async def _sentences(self, tts: Any, request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        """Make a request for each sentence. The framework then knows which audio belongs to which."""
        characters = 0
        async for sentence in request.text:
            if sentence.strip():
                characters += len(sentence)
                stream = tts.synthesize(sentence, conn_options=self.connection())
                try:
                    async with aclosing(self.within(stream)) as parts:
                        async for each in parts:
                            yield _audio(each.frame)
                finally:
                    await shielded(stream.aclose)
        yield Usage(characters=characters)

    async def _streamed(self, tts: Any, request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        """Send text while audio comes. The times of the words say which audio belongs to which."""
        types: Any = import_module("livekit.agents.types")
        stream = tts.stream(conn_options=self.connection())
        fed = _Fed()
        feeding = asyncio.create_task(fed.feed(stream, request.text))
        try:
            # The vendor must answer in time once it has all of the text.
            async with aclosing(follow(stream, feeding, lambda: self.timeout)) as parts:
                async for each in parts:
                    for word in each.frame.userdata.get(types.USERDATA_TIMED_TRANSCRIPT, ()):
                        if (text := str(word).strip()) and isinstance(word.start_time, int | float):
                            yield Word(text, float(word.start_time))
                    yield _audio(each.frame)
        except TimeoutError:
            raise ProviderError(self.provider, "timeout") from None
        finally:
            feeding.cancel()
            await shielded(stream.aclose)
            await asyncio.wait([feeding])
        yield Usage(characters=fed.characters)


@define
class _Fed:
    """The text that went into a stream."""

    characters: int = 0

    async def feed(self, stream: Any, text: AsyncIterator[str]) -> None:
        async for sentence in text:
            self.characters += len(sentence)
            stream.push_text(f"{sentence} ")  # or the words of two sentences would meet
        stream.end_input()


def _audio(frame: Any) -> Audio:
    return Audio(bytes(frame.data), frame.sample_rate, frame.num_channels)
