"""A bot for long conversations. It uses the real offline providers, and has slow actions."""

from __future__ import annotations

import time
from typing import Annotated

import anyio
from attrs.validators import ge, le

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse

__all__ = ("companion",)


@bot(
    services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"},
    config={"llm.rules": {"words_per_second": 40}},
    client=["llm:get_context", "bot:ponder", "bot:brood"],
    public=True,
)
async def companion(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Talks with its user for a long time."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@action(companion)
async def ponder(session: Session, /, seconds: Annotated[float, ge(0), le(9)]) -> float:
    """Waits."""
    await anyio.sleep(seconds)
    return seconds


@action(companion)
def brood(seconds: Annotated[float, ge(0), le(9)]) -> float:
    """Holds a thread."""
    time.sleep(seconds)
    return seconds
