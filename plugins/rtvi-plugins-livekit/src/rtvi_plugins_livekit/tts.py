"""A LiveKit TTS as a provider.

Each sentence gets a stream of its own. LiveKit would keep a sentence back until the next one begins, and the user would
wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any

from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage

from .running import Bridged, shielded, timed_word

__all__ = ("BridgedTTS",)


class BridgedTTS(Bridged):
    """Speaks with a LiveKit TTS."""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Stream speech, with the times of words if the plugin reports them."""
        types: Any = import_module("livekit.agents.types")
        characters, seconds = 0, 0.0
        async with self.use() as tts:
            async for sentence in request.text:
                if not sentence.strip():
                    continue
                characters += len(sentence)
                begin = seconds
                async with aclosing(self._sentence(tts, sentence)) as frames:
                    async for frame in frames:
                        for word in frame.userdata.get(types.USERDATA_TIMED_TRANSCRIPT, ()):
                            if (text := str(word).strip()) and isinstance(word.start_time, int | float):
                                yield timed_word(text, begin + word.start_time)
                        audio = Audio(bytes(frame.data), frame.sample_rate, frame.num_channels)
                        seconds += audio.seconds
                        yield audio
            yield Usage(characters=characters)

    async def _sentence(self, tts: Any, sentence: str) -> AsyncGenerator[Any]:
        """Yield the frames of a sentence. Only LiveKit's streams have times of words."""
        can = tts.capabilities
        stream: Any = None
        if not (can.streaming and getattr(can, "aligned_transcript", False)):
            with suppress(NotImplementedError):  # then it can only stream
                stream = self.call(tts.synthesize, sentence, conn_options=self.connection())
        if stream is None:
            stream = self.call(tts.stream, conn_options=self.connection())
            self.call(stream.push_text, sentence)
            stream.end_input()
        try:
            async with aclosing(self.within(stream)) as parts:
                async for each in parts:
                    yield each.frame
        finally:
            await shielded(stream.aclose)
