"""Speech of the program flite, in the voice that the speech recognition understands best."""

from __future__ import annotations

import subprocess
import wave
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ("RATE", "speech")

#: Of what it says, in Hz: 16 bits, mono.
RATE = 16_000
_VOICE = "rms"


@cache
def speech(text: str) -> bytes:
    """Return a spoken text as PCM."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "speech.wav")
        subprocess.run(["flite", "-voice", _VOICE, "-t", text, "-o", str(file)], check=True, timeout=30)
        with wave.open(str(file)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
            return bytes(sound.readframes(sound.getnframes()))
