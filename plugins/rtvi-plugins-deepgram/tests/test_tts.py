"""Speech: one connection for many requests, each of which may be interrupted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from deepgram_server import SPOKEN, Deepgram, deepgram

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_deepgram.tts import RATE, DeepgramTTS, deepgram_tts, voice
from rtvi_plugins_vendor.provider_tests import one_by_one, tone
from rtvi_plugins_vendor.testing import FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Deepgram, DeepgramTTS]]:
    """Run a fake, and open a provider that uses it."""
    async with deepgram() as fake, deepgram_tts(KEY, base_url=fake.vendor.url, timeout=2.0) as tts:
        voice(tts)
        yield fake, tts


async def said(tts: DeepgramTTS, *items: str) -> list[TTSPiece]:
    """Return all pieces of a request."""
    return [piece async for piece in tts.synthesize(TTSRequest(one_by_one(*items)))]


def pcm(pieces: list[TTSPiece]) -> bytes:
    """Return the audio."""
    return b"".join(each.data for each in pieces if isinstance(each, Audio))


async def test_requests_share_a_connection() -> None:
    """Each sentence is flushed, so that it is spoken before the next one comes."""
    async with opened() as (fake, tts):
        pieces = await said(tts, "Good morning.", "Bye!")
        assert pcm(pieces) == tone(SPOKEN, RATE) * 3
        assert pieces[-1] == Usage(characters=17, model="aura-2-thalia-en")
        assert {each.rate for each in pieces if isinstance(each, Audio)} == {RATE}
        assert pcm(await said(tts, "And another.")) == tone(SPOKEN, RATE) * 2
    (request,) = fake.vendor.requests
    assert request.headers["authorization"] == "Token key-of-a-test"
    assert request.params == {"encoding": "linear16", "sample_rate": "24000", "model": "aura-2-thalia-en"}
    assert request.messages[:4] == [
        {"type": "Speak", "text": "Good morning. "},
        {"type": "Flush"},
        {"type": "Speak", "text": "Bye! "},
        {"type": "Flush"},
    ]


async def test_an_interruption_clears_what_waits() -> None:
    """The next request uses the same connection, and gets no audio of the interrupted one."""
    async with opened() as (fake, tts):
        async with aclosing(tts.synthesize(TTSRequest(one_by_one("one two three four")))) as stream:
            await anext(stream)
        assert pcm(await said(tts, "Bye!")) == tone(SPOKEN, RATE)
    (request,) = fake.vendor.requests
    assert {"type": "Clear"} in request.messages


async def test_another_voice_needs_another_connection() -> None:
    """The old connection is closed."""
    async with opened() as (fake, tts):
        await said(tts, "Hello.")
        voice(tts, model="aura-2-julius-de", speed=0.9, mip_opt_out=True, extra={"tag": "hotel"})
        await said(tts, "Hello.")
        first, second = fake.vendor.requests
        assert await first.outcome() == "left"
        assert second.state == "running"
    assert second.params == {
        "encoding": "linear16",
        "sample_rate": "24000",
        "model": "aura-2-julius-de",
        "speed": "0.9",
        "mip_opt_out": "true",
        "tag": "hotel",
    }


async def test_voices_of_flux() -> None:
    """They have another API, in which an answer is flushed once, at its end."""
    async with opened() as (fake, tts):
        voice(tts, model="flux-haley-en", speed=0.9)
        pieces = await said(tts, "Good morning.", "Bye!")
        assert pcm(pieces) == tone(SPOKEN, RATE) * 3
        assert pieces[-1] == Usage(characters=17, model="flux-haley-en")
        assert pcm(await said(tts, "And another.")) == tone(SPOKEN, RATE) * 2
    (request,) = fake.vendor.requests
    assert request.path == "/v2/speak"
    assert request.params == {
        "encoding": "linear16",
        "sample_rate": "24000",
        "model": "flux-haley-en",
        "speed": "0.9",
    }
    assert request.messages[:4] == [
        {"type": "Speak", "text": "Good morning. "},
        {"type": "Speak", "text": "Bye! "},
        {"type": "Flush"},
        {"type": "Speak", "text": "And another. "},
    ]


async def test_an_interruption_of_flux() -> None:
    """It closes the connection: Flux would still speak a text that it has not begun."""
    async with opened() as (fake, tts):
        voice(tts, model="flux-haley-en")
        async with aclosing(tts.synthesize(TTSRequest(one_by_one("one two three four")))) as stream:
            await anext(stream)
        assert await fake.vendor.requests[0].outcome() == "left"
        assert pcm(await said(tts, "Bye!")) == tone(SPOKEN, RATE)
    assert len(fake.vendor.requests) == 2


async def test_only_some_flushes_are_early() -> None:
    """Deepgram allows 20 per minute. The first text is flushed before others, and the end always."""
    async with opened() as (fake, tts):
        pieces = await said(tts, *["One."] * 30)
        assert pcm(pieces) == tone(SPOKEN, RATE) * 30
        flushes = [len([each for each in fake.vendor.requests[0].messages if each["type"] == "Flush"])]
        for _ in range(7):
            await said(tts, "Two.", "Three.")
            flushes.append(len([each for each in fake.vendor.requests[0].messages if each["type"] == "Flush"]))
    assert flushes == [9, 11, 13, 15, 17, 18, 19, 20]


async def test_a_text_that_ends_late() -> None:
    """All text before the end was already spoken."""
    spoken = anyio.Event()

    async def late() -> AsyncIterator[str]:
        yield "Hello."
        await spoken.wait()

    async with opened() as (_, tts):
        pieces: list[TTSPiece] = []
        async with aclosing(tts.synthesize(TTSRequest(late()))) as stream:
            async for piece in stream:
                pieces.append(piece)
                if len(pcm(pieces)) == len(tone(SPOKEN, RATE)):
                    spoken.set()
    assert pieces[-1] == Usage(characters=6, model="aura-2-thalia-en")


async def test_a_flush_that_is_refused() -> None:
    """Deepgram only sends a warning, so the result is a timeout."""
    async with deepgram() as fake, deepgram_tts(KEY, base_url=fake.vendor.url, timeout=0.05) as tts:
        voice(tts)
        fake.flushes = 0
        with pytest.raises(ProviderError) as failed:
            await said(tts, "Hello.")
    assert failed.value.category == "timeout"


async def test_nothing_to_say() -> None:
    """No request is sent to Deepgram."""
    async with opened() as (fake, tts):
        assert await said(tts, " ", "") == []
    assert fake.vendor.requests == []


async def test_a_connection_that_was_lost_between_requests() -> None:
    """The next request opens a new connection."""

    async def once(socket: FakeSocket) -> None:
        await anext(socket)
        await anext(socket)
        await socket.send(tone(SPOKEN, RATE))
        await socket.send({"type": "Flushed", "sequence_id": 0})
        await socket.close(1000)

    async with opened() as (fake, tts):
        fake.vendor.on("/v1/speak", once, fake.speak)
        await said(tts, "One.")
        assert await fake.vendor.requests[0].outcome() == "answered"
        await anyio.wait_all_tasks_blocked()
        assert pcm(await said(tts, "Two.")) == tone(SPOKEN, RATE)


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({"type": "Error", "variant": "SchemaError", "description": "key-of-a-test"}, 1000, "bad-request"),
        ({"type": "Error", "code": "DATA-0002", "description": "key-of-a-test"}, 1000, "bad-request"),
        ({"type": "Error", "code": "NET-0001", "description": "key-of-a-test"}, 1000, "unavailable"),
        ({"type": "Error", "description": "key-of-a-test"}, 1000, "unavailable"),
        ({"type": "Metadata"}, 1008, "bad-request"),
        ({"type": "Metadata"}, 1011, "unavailable"),
        ({"type": "Metadata"}, 1000, "unavailable"),
    ],
)
async def test_failures(message: dict[str, str], code: int, category: str) -> None:
    """These are messages of the type `Error`, and close codes."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code)

    async with opened() as (fake, tts):
        fake.vendor.on("/v1/speak", fail)
        with pytest.raises(ProviderError) as failed:
            await said(tts, "Hello.")
        assert failed.value.category == category
        fake.vendor.on("/v1/speak", fake.speak)
        assert pcm(await said(tts, "Again.")) == tone(SPOKEN, RATE)
