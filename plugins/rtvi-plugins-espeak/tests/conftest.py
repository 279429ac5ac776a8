"""What every test of this distribution may use: an open service, and its log of what was said."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rtvi_plugins_espeak.speech import EspeakTTS, open_speech

sys.path.append(str(Path(__file__).parent))  # for listening


@pytest.fixture
async def tts(anyio_backend: object) -> AsyncGenerator[EspeakTTS]:
    """Speech of one session."""
    async with open_speech() as speech:
        yield speech
