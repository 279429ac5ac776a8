"""Test the STT that opens a connection for each utterance."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest
from per_utterance import AcmeSTT
from rtvi_plugins import ProviderError, Secret
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript
from rtvi_plugins_vendor import connect_websockets
from rtvi_plugins_vendor.provider_tests import one_by_one
from rtvi_plugins_vendor.testing import FakeSocket, fake_vendor

pytestmark = pytest.mark.anyio

FRAME = Audio(bytes(1024), 16_000)


async def recognise(socket: FakeSocket) -> None:
    """Answer when the audio has ended, as Acme does. After a single frame, break off without the last message."""
    audio = await anext(socket)
    assert await anext(socket) == {"type": "end"}
    await socket.send({"text": "Hello", "final": True})
    if len(audio) > len(FRAME.data):
        await socket.send({"type": "done"})


@asynccontextmanager
async def opened() -> AsyncGenerator[AcmeSTT]:
    """Open the STT at the fake."""
    async with (
        fake_vendor() as vendor,
        connect_websockets("acme", Secret("test-key"), base_url=vendor.url) as sockets,
    ):
        vendor.on("/v1/listen", recognise)
        yield AcmeSTT(sockets)


async def pieces(stt: AcmeSTT, *audio: Audio) -> list[STTPiece]:
    """Return the transcripts of an utterance."""
    async with aclosing(one_by_one(*audio)) as frames:
        return [piece async for piece in stt.transcribe(STTRequest(frames))]


async def test_an_utterance_is_recognised() -> None:
    """The vendor closes the connection afterwards."""
    async with opened() as stt:
        assert await pieces(stt, FRAME, FRAME) == [Transcript("Hello", True)]


async def test_a_connection_that_closes_too_early_is_a_failure() -> None:
    """A proxy may close it normally."""
    async with opened() as stt:
        with pytest.raises(ProviderError, match="acme"):
            await pieces(stt, FRAME)
