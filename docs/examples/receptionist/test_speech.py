"""The receptionist with real speech recognition: it understands enough to answer."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
from rtvi_plugins.context import Function, Message
from rtvi_plugins.kinds import Audio, LLMRequest, STTRequest, Transcript
from rtvi_plugins_pocketsphinx.stt import pocketsphinx_stt
from rtvi_plugins_rules.llm import answer

from bot import INSTRUCTIONS

#: Decoding takes a third of the time of the speech, on cores that are idle.
pytestmark = pytest.mark.timeout(240)

RATE = 16_000
VOICES = ("slt", "rms", "kal16", "awb")
#: What the bot has said first, quoted in its instructions.
GREETING = INSTRUCTIONS.split('"')[1]
BOOK_ROOM: Function = {
    "name": "book_room",
    "description": "Books a room and returns the booking.",
    "parameters": {
        "type": "object",
        "properties": {"nights": {"type": "integer", "minimum": 1}, "name": {"type": "string", "minLength": 1}},
        "required": ["nights", "name"],
    },
}

#: What is said, and how the answer begins.
SAID = {
    "Hello.": "Good day",
    "Yes please.": "Before I book room, tell me: how many nights?",
    "No thanks.": "All right. You can say: book a room for two nights.",
    "What can you do?": "You can say: book a room for two nights.",
    "Book a room for two nights.": "Before I book room, tell me: what is the name?",
    "I would like a room for three nights.": "Before I book room, tell me: what is the name?",
    "Two nights.": "Before I book room, tell me: what is the name?",
    "My name is Robert.": "Nice to meet you, Robert.",
    "My name is Mary.": "Nice to meet you, Mary.",
    "Tell me a story.": "Once there was a lighthouse",
    "Thank you very much.": "You are welcome.",
    "Goodbye.": "Goodbye!",
}


async def frames(pcm: bytes) -> AsyncIterator[Audio]:
    """Return an utterance with a little silence around it, as the recogniser receives it."""
    padded = bytes(RATE // 2) + pcm + bytes(RATE // 2)
    for at in range(0, len(padded), 1024):
        yield Audio(padded[at : at + 1024], RATE)


def spoken(voice: str, text: str, file: Path) -> bytes:
    """Return the samples of a sentence, spoken by flite."""
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, stdin=subprocess.DEVNULL)
    with wave.open(str(file)) as audio:
        assert (audio.getframerate(), audio.getnchannels()) == (RATE, 1)
        return audio.readframes(audio.getnframes())


async def heard(utterances: Sequence[bytes]) -> Sequence[str]:
    """Return the transcript of the samples."""
    found: list[str] = []
    async with pocketsphinx_stt() as stt:
        for pcm in utterances:
            pieces = [piece async for piece in stt.transcribe(STTRequest(frames(pcm)))]
            found += [each.text for each in pieces if isinstance(each, Transcript) and each.final]
    return found


def replied(text: str) -> str:
    """Return the answer to a transcript after the greeting."""
    messages: list[Message] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "assistant", "content": GREETING},
        {"role": "user", "content": text},
    ]
    reply = answer(LLMRequest(messages, [BOOK_ROOM]))
    return reply if isinstance(reply, str) else reply.name


@pytest.mark.parametrize(("text", "beginning"), SAID.items())
def test_what_is_said_is_answered(text: str, beginning: str, tmp_path: Path) -> None:
    """At least three of four voices succeed."""
    texts = anyio.run(heard, [spoken(voice, text, tmp_path / "said.wav") for voice in VOICES])
    right = [each for each in texts if replied(each).startswith(beginning)]
    assert len(right) >= 3, texts
