"""pipecat's service classes, used directly: each in a pipeline of its own, as `vendors/drive.py` asks for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner
from vendors.workload import KEY, MODEL_OF_GOOGLE, SENTENCE, TEXTS, VOICE

logger.remove()
_LAST = SENTENCE.split()[-1]
_NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "deepgram": "Deepgram"}
_NAMES |= {"cartesia": "Cartesia", "elevenlabs": "ElevenLabs", "assemblyai": "AssemblyAI"}


class _End(FrameProcessor):
    """What comes out of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.started = asyncio.Event()

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self.started.set()
        self.heard.put_nowait(frame)
        await self.push_frame(frame, direction)


class Answering:
    """An LLM or a TTS."""

    def __init__(self, worker: Any, end: _End, kind: str) -> None:
        self._worker, self._end, self._kind = worker, end, kind

    async def pieces(self) -> AsyncGenerator[object]:
        """Yield what the user would read or hear. Leaving it is an interruption."""
        if self._kind == "llm":
            messages: Any = [{"role": "user", "content": "Hello"}]
            asked: Any = LLMContextFrame(LLMContext(messages))
            piece, over = LLMTextFrame, LLMFullResponseEndFrame
        else:
            asked, piece, over = TTSSpeakFrame("".join(TEXTS), False), TTSAudioRawFrame, TTSStoppedFrame
        ended = False
        await self._worker.queue_frame(asked)
        try:
            while not ended:
                frame = await self._end.heard.get()
                if isinstance(frame, ErrorFrame):
                    raise RuntimeError(frame.error)
                ended = isinstance(frame, over)
                if isinstance(frame, piece):
                    yield frame
        finally:
            if not ended:
                await self._worker.queue_frame(InterruptionFrame())
                while not isinstance(await self._end.heard.get(), InterruptionFrame):
                    pass


class Listening:
    """An STT that listens to a whole session, or to one utterance after the other."""

    #: Which message of the vendor makes the text final, of those that the server logs.
    made_final = "last_words"

    def __init__(self, worker: Any, end: _End) -> None:
        self._worker, self._end = worker, end
        self._speaks = False

    async def hear(self, frame: bytes) -> None:
        """Take a frame of the user's speech."""
        if not self._speaks:
            self._speaks = True
            await self._worker.queue_frame(VADUserStartedSpeakingFrame())
        await self._worker.queue_frame(InputAudioRawFrame(frame, 16_000, 1))

    async def pause(self) -> None:
        """Note that the user has ended."""
        self._speaks = False
        await self._worker.queue_frame(VADUserStoppedSpeakingFrame())

    async def texts(self) -> AsyncGenerator[bool]:
        """Yield whether a text is final, for each one, until the last word is final."""
        while True:
            frame = await self._end.heard.get()
            if isinstance(frame, ErrorFrame):
                raise RuntimeError(frame.error)
            if isinstance(frame, InterimTranscriptionFrame):
                yield False
            elif isinstance(frame, TranscriptionFrame):
                yield True
                if frame.text.rstrip(". ").endswith(_LAST):
                    return


def _service(vendor: str, kind: str, base: str) -> Any:
    cls = getattr(import_module(f"pipecat.services.{vendor}.{kind}"), f"{_NAMES[vendor]}{kind.upper()}Service")
    web_socket = base.replace("http", "ws", 1)
    settings: dict[str, Any] = {}
    match vendor, kind:
        case "openai", "stt":
            arguments = {"base_url": f"{base}/whole/v1"}
        case "openai", _:
            arguments = {"base_url": f"{base}/v1"}
        case "anthropic", _:
            os.environ["ANTHROPIC_BASE_URL"], arguments = base, {}
        case "google", _:
            os.environ["GOOGLE_GEMINI_BASE_URL"], arguments = base, {}
            settings = {"model": MODEL_OF_GOOGLE}
        case "deepgram", _:
            arguments = {"base_url": web_socket}
        case "cartesia", "tts":
            arguments = {"url": f"{web_socket}/tts/websocket"}
            settings = {"voice": VOICE}
        case "cartesia", _:
            arguments = {"base_url": web_socket}
        case "elevenlabs", _:
            arguments = {"url": web_socket}
            settings = {"voice": VOICE}
        case _:
            arguments = {"api_endpoint_base_url": f"{web_socket}/v3/ws"}
            settings = {"model": "universal-streaming-english"}
    if settings:
        arguments["settings"] = cls.Settings(**settings)
    return cls(api_key=KEY, **arguments)


@asynccontextmanager
async def vendors(vendor: str, kind: str, base: str) -> AsyncGenerator[Any]:
    """Open a service in a pipeline."""
    end = _End()
    parameters = PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000)
    pipeline = Pipeline([_service(vendor, kind, base), end])
    worker = PipelineWorker(pipeline, params=parameters, cancel_on_idle_timeout=False, enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await end.started.wait()
    yield Listening(worker, end) if kind == "stt" else Answering(worker, end, kind)
    await worker.cancel()
    await asyncio.wait([running], timeout=2)
