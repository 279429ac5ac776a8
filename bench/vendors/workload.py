"""What every contestant is asked for. Standard library only: the environments of peers import it too."""

from __future__ import annotations

import math
from array import array

#: How many pieces an answer of an LLM has, and how many seconds pass before the first piece and between pieces.
PIECES, WAIT_SECONDS, GAP_SECONDS = 80, 0.02, 0.003
#: What the user says, and what the bot says.
SENTENCE = "one two three four five"
TEXTS = tuple(f"{' '.join(f'{part}{number:02}' for number in range(16))}. " for part in "abcd")
#: Frames of 32 ms at 16 kHz, for 2.4 seconds of speech; one is sent every 4 ms.
FRAMES = [
    array("h", [round(8000 * math.sin(2 * math.pi * 440 * (at + n) / 16_000)) for n in range(512)]).tobytes()
    for at in range(0, 38_400, 512)
]
FRAME_GAP_SECONDS = 0.004
AUDIO_SECONDS = len(FRAMES) * 0.032
VOICE = "JBFqnCBsd6RMkjVDRZzb"
MODEL_OF_GOOGLE = "gemini-3.8-flash"
KEY = "key-of-a-bench"

#: The services, as vendor and kind.
SERVICES = (
    ("openai", "llm"),
    ("anthropic", "llm"),
    ("google", "llm"),
    ("openai", "tts"),
    ("deepgram", "tts"),
    ("cartesia", "tts"),
    ("elevenlabs", "tts"),
    ("openai", "stt"),
    ("deepgram", "stt"),
    ("cartesia", "stt"),
    ("assemblyai", "stt"),
)
