"""A LiveKit STT as a provider.

A stream of LiveKit is made to last for a whole session, so it does not end with an utterance: Deepgram's takes up to
5 s. Here an utterance is over when all that was heard has become final, and nothing more has come for a moment.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any, Final

from attrs import define

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, Usage

from .running import Bridged, follow, shielded, timed_word

__all__ = ("BridgedSTT",)

#: After the end of the audio: how long to wait for more when all text is final, and when some is not, in seconds.
_SETTLED_SECONDS: Final = 0.3
_UNSETTLED_SECONDS: Final = 2.0
#: Silence is added to an utterance until it lasts a multiple of this, in seconds. LiveKit cuts audio in chunks of 50 or
#: 100 ms, and vendors such as AssemblyAI refuse a shorter rest.
_CHUNK_SECONDS: Final = 0.1


class BridgedSTT(Bridged):
    """Recognises with a LiveKit STT."""

    def own_arguments(self, parameters: Mapping[str, inspect.Parameter], /) -> dict[str, Any]:
        """Add a VAD, for classes that let it say when the vendor should finish an utterance."""
        own = super().own_arguments(parameters)
        if (vad := parameters.get("vad")) is not None:
            # Without a default, None is one of the choices: the class then finishes at the end of the input by itself.
            own["vad"] = None if vad.default is vad.empty else _utterance_vad()
        return own

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Stream transcripts."""
        async with self.use() as stt:
            pieces = self._streamed(stt, request) if stt.capabilities.streaming else self._whole(stt, request)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    async def _whole(self, stt: Any, request: STTRequest) -> AsyncGenerator[STTPiece]:
        frames = [_frame(audio) async for audio in request.audio]
        try:
            async with asyncio.timeout(self.timeout):
                event = await self.call(asyncio.ensure_future, stt.recognize(frames, conn_options=self.connection()))
        except TimeoutError:
            raise ProviderError(self.provider, "timeout") from None
        for each in event.alternatives[:1]:
            yield _transcript(each, final=True)
        yield Usage(seconds=sum(each.duration for each in frames))

    async def _streamed(self, stt: Any, request: STTRequest) -> AsyncGenerator[STTPiece]:
        types: Any = import_module("livekit.agents.stt").SpeechEventType
        stream = self.call(stt.stream, conn_options=self.connection())
        feeding = asyncio.create_task(_feed(stream, request.audio))
        heard = _Heard()
        reads, messages = self.traffic.reads, self.traffic.messages
        try:
            with suppress(TimeoutError):
                async with aclosing(follow(stream, feeding, heard.patience)) as events:
                    async for event in events:
                        if event.type == types.RECOGNITION_USAGE and event.recognition_usage is not None:
                            yield Usage(seconds=float(event.recognition_usage.audio_duration))
                        elif event.alternatives and event.alternatives[0].text:
                            found = _transcript(event.alternatives[0], final=event.type == types.FINAL_TRANSCRIPT)
                            heard.take(found)
                            yield found
            if self.traffic.reads > reads and self.traffic.messages == messages:
                raise ProviderError(self.provider, "timeout")  # without any words, a vendor still sends messages
            if heard.unsettled:  # the connection is lost, or the vendor has ended it too early
                raise ProviderError(self.provider, "unavailable")
        finally:
            feeding.cancel()
            await shielded(stream.aclose)
            await asyncio.wait([feeding])


@define
class _Heard:
    """What was recognised."""

    any_final: bool = False
    #: The last text is not final.
    unsettled: bool = False

    def take(self, found: Transcript) -> None:
        """Note a transcript."""
        self.any_final = self.any_final or found.final
        self.unsettled = not found.final

    def patience(self) -> float:
        """Return how long to wait for more after the end of the audio."""
        return _SETTLED_SECONDS if self.any_final and not self.unsettled else _UNSETTLED_SECONDS


def _utterance_vad() -> Any:
    """Return a VAD of LiveKit that finds the end of the speech at the end of the input.

    The framework has found the utterance already. LiveKit's own model would wait for silence, which does not come.
    """
    vad: Any = import_module("livekit.agents.vad")

    class Stream(vad.VADStream):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
        async def _main_task(self) -> None:
            async for _ in self._input_ch:
                pass
            end = vad.VADEventType.END_OF_SPEECH
            event = vad.VADEvent(type=end, samples_index=0, timestamp=0.0, speech_duration=0.0, silence_duration=0.0)
            self._event_ch.send_nowait(event)

    class UtteranceVAD(vad.VAD):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
        def stream(self) -> Any:
            return Stream(self)

    return UtteranceVAD(capabilities=vad.VADCapabilities(update_interval=_CHUNK_SECONDS))


async def _feed(stream: Any, audio: AsyncIterator[Audio]) -> None:
    rate, channels, heard = 16_000, 1, 0
    async for each in audio:
        rate, channels = each.rate, each.channels
        heard += len(each.data) // (2 * channels)
        stream.push_frame(_frame(each))
    if rest := -heard % round(_CHUNK_SECONDS * rate):
        stream.push_frame(_frame(Audio(bytes(2 * channels * rest), rate, channels)))
    stream.end_input()


def _frame(audio: Audio) -> Any:
    rtc: Any = import_module("livekit.rtc")
    return rtc.AudioFrame(audio.data, audio.rate, audio.channels, len(audio.data) // (2 * audio.channels))


def _transcript(found: Any, *, final: bool) -> Transcript:
    words = [
        timed_word(str(each), float(each.start_time), float(each.end_time))
        for each in getattr(found, "words", None) or ()
        if isinstance(each.start_time, int | float) and isinstance(each.end_time, int | float)
    ]
    return Transcript(
        found.text,
        final,
        str(found.language) or None,
        words=words,
        speaker=getattr(found, "speaker_id", None),
        confidence=found.confidence if 0 < found.confidence <= 1 else None,
    )
