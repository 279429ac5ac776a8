"""A voice for the user and a recogniser for the bot's answers, for `pipecat eval` without a network.

Scenarios name the two functions as factories. The voice is the program flite, the recogniser is PocketSphinx.
"""

import asyncio
import subprocess
import tempfile
import wave
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pocketsphinx
from pipecat.frames.frames import Frame, TranscriptionFrame, TTSAudioRawFrame
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601


def voice(config: Mapping[str, Any]) -> TTSService:
    """Return the user's voice: `voice` is one of flite's, such as slt."""
    return FliteVoice(config["voice"])


def recogniser(config: Mapping[str, Any]) -> SegmentedSTTService:
    """Return a recogniser that knows the phrases in `phrases`, in any order."""
    return PhraseRecogniser(config["phrases"])


class FliteVoice(TTSService):
    """The voices of the program flite."""

    def __init__(self, name: str) -> None:
        super().__init__(settings=TTSSettings(model=None, voice=name, language=None))
        self._name = name

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            command = ["flite", "-voice", self._name, "-t", text, "-o", str(path)]
            await asyncio.to_thread(subprocess.run, command, check=True)
            with wave.open(str(path)) as file:
                audio, rate = file.readframes(file.getnframes()), file.getframerate()
        yield TTSAudioRawFrame(audio, rate, 1, context_id=context_id)


class PhraseRecogniser(SegmentedSTTService):
    """PocketSphinx with a grammar."""

    def __init__(self, phrases: list[str]) -> None:
        super().__init__(settings=STTSettings(model=None, language=None))
        known = " | ".join(f"({phrase})" for phrase in phrases)
        self._decoder = pocketsphinx.Decoder(samprate=16_000, loglevel="FATAL")
        self._decoder.add_jsgf_string("phrases", f"#JSGF V1.0; grammar phrases; public <phrase> = ({known})+;")
        self._decoder.activate_search("phrases")

    @property
    def wants_wav_segments(self) -> bool:
        return False

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        text = await asyncio.to_thread(self._recognise, audio)
        if text:
            yield TranscriptionFrame(text, "", time_now_iso8601())

    def _recognise(self, audio: bytes) -> str:
        self._decoder.start_utt()
        self._decoder.process_raw(audio, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""
