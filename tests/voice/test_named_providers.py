"""If a provider makes a mistake, the log of the session has the mistake and the provider's name."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.kinds import Audio, Text, Transcript, Word
from rtvi_plugins.testing import ManualClock, call, fake_provider, host_for, settle, silence, speak, wait

pytestmark = pytest.mark.anyio


@bot(services={"llm": "acme", "stt": "acme", "tts": "acme", "vad": "acme"}, public=True)
async def phone(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Talk."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


async def respond(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Answer."""
    yield Text("Hello.")


async def synthesize(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Speak a tone for each sentence."""
    async for _ in request.text:
        yield Audio(array("h", [1000] * 2_000).tobytes(), 16_000)


async def transcribe(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Return the same text for all audio."""
    async for _ in request.audio:
        pass
    yield Transcript("hello", final=True)


def speech_probability(self: Any, frame: Audio, /) -> float:
    """Report speech in every frame."""
    return float(any(frame.data))


GOOD: dict[str, dict[str, Any]] = {
    "llm": {"respond": respond},
    "stt": {"transcribe": transcribe},
    "tts": {"synthesize": synthesize},
    "vad": {"speech_probability": speech_probability},
}


async def yield_str(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Yield a value that is not a piece."""
    yield "Hello."


async def yield_nothing(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """End without a piece."""
    for each in list[Any]():
        yield each


async def yield_half_a_sample(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Yield half a sample."""
    async for _ in request.text:
        yield Audio(bytes(3_999), 16_000)


async def write_final(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Yield a text where a bool belongs."""
    final: Any = "false"
    async for _ in request.audio:
        pass
    yield Transcript("hello", final)


async def overrate(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Yield a confidence above 1."""
    async for _ in request.audio:
        pass
    yield Transcript("hello", True, confidence=7)


async def speak_before(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Yield a word that begins before the audio."""
    async for text in request.text:
        yield Word(text, -0.5)


async def raise_key_error(self: Any, request: Any, /) -> AsyncGenerator[Any]:
    """Raise a KeyError."""
    yield Audio(b"", 16_000) if hasattr(request, "text") else dict[str, Any]()["choices"]


def not_a_number(self: Any, frame: Audio, /) -> float:
    """Return NaN as the probability."""
    return float("nan")


@pytest.mark.parametrize(
    ("kind", "method", "mistake", "logged"),
    [
        (
            "llm",
            "respond",
            yield_str,
            "an LLM (acme): an LLM's respond() yielded str, which is not a piece of its stream",
        ),
        ("llm", "respond", yield_nothing, "(acme) yielded no text and no function call"),
        ("llm", "respond", raise_key_error, "an LLM (acme), while it answered, raised KeyError"),
        ("tts", "synthesize", yield_str, "a TTS (acme): a TTS's synthesize() yielded str, which is not a piece"),
        ("tts", "synthesize", yield_nothing, "a TTS (acme) made no audio of a text"),
        ("tts", "synthesize", yield_half_a_sample, "a TTS (acme) yielded a piece of 3999 bytes of audio"),
        ("stt", "transcribe", yield_str, "an STT (acme): an STT's transcribe() yielded str, which is not a piece"),
        ("stt", "transcribe", write_final, f"Transcript(final=<str>) ({__file__}:"),
        ("stt", "transcribe", overrate, "an STT (acme), while it listened: Transcript(confidence=7) ("),
        ("tts", "synthesize", speak_before, "a TTS (acme), while it spoke: Word(start=-0.5) ("),
        ("stt", "listen", yield_nothing, "ended its listen() by itself"),
        ("vad", "speech_probability", not_a_number, "a VAD (acme): speech_probability() returned nan"),
    ],
)
async def test_a_mistake_is_logged_with_the_provider(
    kind: str, method: str, mistake: Any, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """This includes mistakes that raise no error, and that only the user would notice."""
    clock, methods = ManualClock(), {**GOOD, kind: {**GOOD[kind], method: mistake}}
    modules = [fake_provider(f"{each}.acme", type("Acme", (), found)()) for each, found in methods.items()]
    async with host_for(phone, *modules, clock=clock) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.6)
        await silence(line, clock, 1.5)
        await wait(clock, 0.5)
    assert logged in caplog.text


async def listen_in(self: Any, request: Any, language: str, /) -> AsyncGenerator[Any]:
    """Have one parameter too many."""
    yield Transcript(language, final=True)


def check_key(self: Any, path: str) -> None:
    """Have one parameter too many."""


@pytest.mark.parametrize(
    ("kind", "method", "mistake", "logged"),
    [
        ("stt", "listen", listen_in, "its listen() takes request, language, but it is called as listen(request)"),
        ("llm", "check_key", check_key, "its check_key() takes path, but it is called as check_key()"),
    ],
)
async def test_a_method_that_is_optional_must_fit_too(
    kind: str, method: str, mistake: Any, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The start fails, and the log has the reason."""
    methods = {**GOOD, kind: {**GOOD[kind], method: mistake}}
    modules = [fake_provider(f"{each}.acme", type("Acme", (), found)()) for each, found in methods.items()]
    async with host_for(phone, *modules) as host:
        with pytest.raises(StartFailed):
            await host.start(None)
    assert logged in caplog.text
