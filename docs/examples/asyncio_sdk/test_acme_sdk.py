"""Test the provider with the SDK itself. A real SDK needs a fake of its vendor."""

import gc
from collections.abc import AsyncIterator

import anyio
import pytest
from rtvi_plugins import STT, ProviderError, Secret, Session, bot
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.kinds import Audio, STTRequest, Transcript
from rtvi_plugins.testing import check_providers, connect

import rtvi_plugins_acme_sdk as acme

pytestmark = pytest.mark.anyio

FRAME = Audio(bytes(1024), 16_000)
KEYS = {"acme": "key-of-a-test"}


@pytest.fixture
def anyio_backend() -> str:
    """Run the tests on asyncio only."""
    return "asyncio"


async def test_texts_arrive_while_audio_is_sent() -> None:
    """The second frame waits for the first text."""
    arrived = anyio.Event()

    async def audio() -> AsyncIterator[Audio]:
        yield FRAME
        await arrived.wait()
        yield FRAME

    pieces: list[object] = []
    async with acme.acme_stt(Secret("key-of-a-test")) as stt:
        async for piece in stt.transcribe(STTRequest(audio())):
            pieces.append(piece)
            arrived.set()
    assert pieces == [Transcript("word ", False), Transcript("word word ", False), Transcript("word word ", True)]


async def silence() -> AsyncIterator[Audio]:
    """Yield a frame, and no more."""
    yield FRAME
    await anyio.sleep_forever()


async def test_an_interruption_closes_the_connection() -> None:
    """No task of the SDK is left."""
    async with acme.acme_stt(Secret("key-of-a-test")) as stt:
        stream = stt.transcribe(STTRequest(silence()))
        assert await anext(stream) == Transcript("word ", False)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(stream)
        gc.collect()
        assert [each.closed for each in stt.acme.listeners] == [True]


async def test_failures_have_a_category() -> None:
    """They fail at the start, or while audio is sent."""
    async with acme.acme_stt(Secret("key-that-acme-refuses")) as stt:
        with pytest.raises(ProviderError) as refused:
            await anext(stt.transcribe(STTRequest(silence())))
    assert refused.value.category == "auth"

    async def audio() -> AsyncIterator[Audio]:
        yield FRAME
        stt.acme.listeners[0].closed = True
        yield FRAME

    async with acme.acme_stt(Secret("key-of-a-test")) as stt:
        with pytest.raises(ProviderError) as broken:
            [piece async for piece in stt.transcribe(STTRequest(audio()))]
    assert broken.value.category == "unavailable"


async def test_it_is_a_good_provider() -> None:
    """It runs on the event loop that it needs."""
    await check_providers(acme)


@bot(services={"stt": "acme"})
async def phone(session: Session, /, stt: STT) -> None:
    """Wait."""
    await anyio.sleep_forever()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_is_refused_with_a_sentence() -> None:
    """The session does not start. On trio, `check_providers` has nothing to call."""
    with pytest.raises(StartFailed, match="'acme' runs on asyncio only, and this server runs on trio"):
        async with connect(phone, acme, api_keys=KEYS):
            raise AssertionError("it started")
    await check_providers(acme)
