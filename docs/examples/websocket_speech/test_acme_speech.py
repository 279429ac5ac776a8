"""Test both providers with a fake of Acme: a real server on loopback."""

import gc
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TypeVar

import anyio
import pytest
from rtvi_plugins import ProviderError, Secret
from rtvi_plugins.kinds import Audio, Settled, STTRequest, Transcript, TTSRequest, Word
from rtvi_plugins.testing import check_providers
from rtvi_plugins_vendor import provider_tests
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import Answer, FakeSocket, FakeVendor, fake_vendor

import rtvi_plugins_acme_speech as acme
from rtvi_plugins_acme_speech import AcmeSTT, AcmeTTS, acme_stt, acme_tts

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
FRAME = Audio(bytes(1024), 16_000)

T = TypeVar("T")


async def one_by_one(items: Sequence[T]) -> AsyncGenerator[T]:
    """Yield items, as a session does."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


async def listen(socket: FakeSocket) -> None:
    """Recognise a word in each message with audio, as Acme does."""
    words = ""
    async for message in socket:
        match message:
            case bytes():
                words += " word"
                await socket.send({"text": words.strip(), "final": False})
            case {"type": "pause"}:
                await socket.send({"text": words.strip(), "final": True})
                await socket.send({"type": "paused"})
                words = ""
            case _:
                pass  # it keeps the connection alive


async def speak(socket: FakeSocket) -> None:
    """Speak each word, as Acme does. The times count from the start of the context."""
    words = 0
    async for message in socket:
        context, sound = {"context": message["context"]}, b64encode(bytes(480)).decode()
        for word in message.get("text", "").split():
            await socket.send({**context, "words": [word], "starts": [words / 100]})
            await socket.send({**context, "audio": sound})
            words += 1
        if message["type"] == "end":
            await socket.send({**context, "characters": words})
            words = 0


def stt_of(vendor: FakeVendor) -> AbstractAsyncContextManager[AcmeSTT]:
    """Return the STT of this vendor."""
    vendor.on("/v1/listen", listen)
    return acme_stt(KEY, base_url=vendor.url)


def tts_of(vendor: FakeVendor) -> AbstractAsyncContextManager[AcmeTTS]:
    """Return the TTS of this vendor."""
    vendor.on("/v1/speak", speak)
    return acme_tts(KEY, base_url=vendor.url)


async def test_transcripts_arrive_while_audio_is_sent() -> None:
    """The audio waits until the first transcript has arrived."""
    arrived = anyio.Event()

    async def audio() -> AsyncIterator[Audio]:
        for each in [FRAME] * 3:
            yield each
        await arrived.wait()
        yield FRAME

    texts: list[tuple[str, bool]] = []
    async with fake_vendor() as vendor, stt_of(vendor) as stt:
        async for piece in stt.transcribe(STTRequest(audio())):
            if isinstance(piece, Transcript):
                texts.append((piece.text, piece.final))
            arrived.set()
    assert texts == [("word", False), ("word word", False), ("word word", True)]
    assert vendor.requests[0].messages == [FRAME.data * 3, FRAME.data, {"type": "pause"}]


async def test_a_session_has_one_connection() -> None:
    """Each pause is answered when Acme has finished the text. Three frames are one message."""
    async with fake_vendor() as vendor, stt_of(vendor) as stt:
        pieces = await provider_tests.listen(stt, [FRAME] * 4, [FRAME])
    texts = [(piece.text, piece.final) for piece in pieces if isinstance(piece, Transcript)]
    assert texts == [("word", False), ("word word", False), ("word word", True), ("word", False), ("word", True)]
    assert pieces.count(Settled()) == 2
    assert len(vendor.requests) == 1


async def test_sentences_are_spoken() -> None:
    """Two requests use one connection."""
    async with fake_vendor() as vendor, tts_of(vendor) as tts:
        for text in ("Hello there.", "Bye!"):
            pieces = [piece async for piece in tts.synthesize(TTSRequest(one_by_one([text])))]
            assert [piece.text for piece in pieces if isinstance(piece, Word)] == text.split()
            assert pieces[1] == Audio(bytes(480), 24_000)
    assert len(vendor.requests) == 1


async def test_an_interruption_tells_the_vendor() -> None:
    """It stops only this request. Nothing is left to the garbage collector, which would be a warning on trio."""
    sentences = ["Hello there."] * 100
    async with fake_vendor() as vendor, tts_of(vendor) as tts, aclosing(one_by_one(sentences)) as text:
        pieces = tts.synthesize(TTSRequest(text))
        assert await anext(pieces) == Word("Hello", 0.0)
        await pieces.aclose()
        gc.collect()
    assert await vendor.requests[0].outcome() == "left"
    assert vendor.requests[0].messages[-1]["type"] == "cancel"


@pytest.mark.parametrize(("status", "category"), [(401, "auth"), (402, "quota"), (400, "bad-request")])
async def test_a_refusal_has_a_category(status: int, category: str) -> None:
    """The category determines whether a retry makes sense."""
    async with fake_vendor() as vendor, stt_of(vendor) as stt:
        vendor.on("/v1/listen", Answer(status))
        with pytest.raises(ProviderError) as failed:
            await anext(stt.transcribe(STTRequest(one_by_one([FRAME]))))
    assert failed.value.category == category


async def test_a_cut_connection_is_a_failure() -> None:
    """The framework may try again."""

    async def cut(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.cut()

    async with fake_vendor() as vendor, tts_of(vendor) as tts:
        vendor.on("/v1/speak", cut)
        with pytest.raises(ProviderError) as failed:
            await anext(tts.synthesize(TTSRequest(one_by_one(["Hello."]))))
    assert (failed.value.category, failed.value.retryable) == ("unavailable", True)


class AcmeVendor(SocketVendor):
    """A fake of Acme that recognises and speaks, or fails, as the check wants."""

    def script(self, name: str, /) -> None:
        """Follow a script on both paths."""
        super().script(name)
        speaks = SocketVendor(
            self.vendor,
            "/v1/speak",
            speak,
            is_piece=lambda message: "audio" in message,
            is_goodbye=lambda message: message["type"] == "cancel",
        )
        speaks.left, speaks.changes = self.left, self.changes
        speaks.script(name)


@asynccontextmanager
async def acme_vendor() -> AsyncGenerator[AcmeVendor]:
    """Yield the fake."""
    async with fake_vendor() as vendor:
        yield AcmeVendor(vendor, "/v1/listen", listen, is_piece=lambda message: "text" in message)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_they_are_good_providers() -> None:
    """They keep all rules, also with a vendor that fails."""
    await check_providers(acme, vendor=acme_vendor)
