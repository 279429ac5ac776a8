"""What speech vendors have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    STTRequest,
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import (
    Listening,
    Samples,
    Speech,
    audio_messages,
    connect_websockets,
    one_utterance,
    texts_to_speak,
    words_of,
)
from rtvi_plugins_vendor.testing import FakeSocket, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
FRAME = Audio(b"\1\2" * 512, 16_000)
PAUSE, END = {"type": "pause"}, {"type": "end"}


async def items(*given: Any) -> AsyncIterator[Any]:
    """Yield items, one by one."""
    for each in given:
        await anyio.lowlevel.checkpoint()
        yield each


async def messages(*given: Audio | Pause, **how: Any) -> list[Any]:
    """Return the messages for this audio, with the audio as its number of bytes."""
    found = [each async for each in audio_messages(items(*given), **how)]
    return [len(each) if isinstance(each, bytes) else each for each in found]


async def test_three_frames_are_one_message() -> None:
    """The rest is sent before a pause, and before the end."""
    sent = await messages(*[FRAME] * 4, Pause(), Pause(), *[FRAME] * 3, pause=PAUSE, end=END)
    assert sent == [3072, 1024, PAUSE, PAUSE, 3072, END]
    assert await messages(FRAME, Pause(), FRAME) == [1024, 1024]
    assert await messages(FRAME, least=1600) == [1600]
    assert await messages(*[FRAME] * 6, Pause(), frames=5) == [5120, 1024]


async def test_samples_are_whole() -> None:
    """Half a sample is kept for the next bytes."""
    samples = Samples(24_000)
    assert samples.take(b"\1") == []
    assert samples.take(b"\2\3") == [Audio(b"\1\2", 24_000)]
    assert samples.take(b"\4" + bytes(47_996)) == [Audio(b"\3\4" + bytes(47_996), 24_000)]
    assert samples.seconds == 1.0


async def test_blank_texts_are_left_out() -> None:
    """A text without a word is not spoken."""
    assert await texts_to_speak(items("", " ", "\n")) is None
    texts = await texts_to_speak(items("", "Hello", " ", "there"))
    assert texts is not None
    assert [each async for each in texts] == ["Hello", "there"]


async def test_audio_may_be_base64() -> None:
    """Half a sample is kept, and what is not base64 is a failure of the vendor."""
    speech = Speech("acme", 24_000)
    assert speech.audio("AQID") == [Audio(b"\1\2", 24_000)]
    assert speech.audio(b"\4" + bytes(47_996)) == [Audio(b"\3\4" + bytes(47_996), 24_000)]
    assert speech.seconds == 1.0
    with pytest.raises(ProviderError, match="acme"):
        speech.audio("AQI")


async def test_words_have_their_times() -> None:
    """They count from the last restart, in the vendor's unit."""
    speech = Speech("acme", 24_000)
    assert speech.words(["Hello", "there."], [0, 0.5]) == [Word("Hello", 0), Word("there.", 0.5)]
    speech.audio(bytes(48_000))
    speech.restart()
    assert speech.words(["Bye!"], [250], [500], unit=0.001) == [Word("Bye!", 1.25, 1.5)]


@pytest.mark.parametrize(("texts", "starts"), [(["Hello", "there."], [0]), ([3], [0]), (["Hello"], ["0"]), (None, [])])
async def test_words_without_times_are_malformed(texts: Any, starts: Any) -> None:
    """This is a failure of the vendor, and not a bug of the provider."""
    with pytest.raises(ProviderError, match="acme"):
        Speech("acme", 24_000).words(texts, starts)


async def test_each_speech_has_a_name() -> None:
    """A vendor distinguishes requests by it."""
    assert Speech("acme", 24_000).context != Speech("acme", 24_000).context


# ---- continuous recognition ------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(
    talk: Any, audio: AsyncIterator[Any], timeout: float = 5.0, **how: Any
) -> AsyncGenerator[Listening]:
    """A call of `listen` to a vendor that talks so."""
    async with (
        fake_vendor() as vendor,
        connect_websockets("acme", KEY, base_url=vendor.url, timeout=timeout) as acme,
    ):
        vendor.on("/listen", talk)
        async with acme.open("listen") as stream, Listening(stream, audio, pause=PAUSE, **how) as found:
            yield found


async def answer(socket: FakeSocket) -> None:
    """Answer each message."""
    async for message in socket:
        await socket.send({"got": len(message) if isinstance(message, bytes) else message})


async def test_a_pause_waits_for_its_answer() -> None:
    """The usage is the length of the utterance."""

    async def silence() -> AsyncIterator[Any]:
        yield FRAME
        yield FRAME
        yield Pause()
        await anyio.sleep_forever()

    async with listening(answer, silence()) as found:
        assert await anext(found) == {"got": 2048}
        assert await anext(found) == {"got": PAUSE}
        paused = found.is_paused
        assert found.settle() == [Usage(seconds=0.064), Settled()]
        assert (paused, found.is_paused) == (True, False)
        assert found.settle() == []
        assert found.usage() == Usage()


async def test_a_vendor_that_was_heard_may_be_quiet_after_a_pause() -> None:
    """The utterance has no more text."""

    async def once(socket: FakeSocket) -> None:
        await socket.send({"text": "Hello"})
        async for _ in socket:
            pass

    async with listening(once, conversation(), timeout=600, quiet=0.01) as found:
        assert await anext(found) == {"text": "Hello"}
        assert await anext(found) is None


async def test_a_vendor_that_says_nothing_of_an_utterance_has_failed() -> None:
    """Its silence does not count as silence of the user."""

    async def silent(socket: FakeSocket) -> None:
        async for _ in socket:
            pass

    async with listening(silent, conversation(), timeout=0.01) as found:
        with pytest.raises(ProviderError) as failed:
            await anext(found)
    assert failed.value.category == "timeout"


async def test_a_vendor_that_answers_each_pause_must_do_so() -> None:
    """Its silence is a failure, even if it has sent transcripts. Otherwise, the rest of the text would be lost."""

    async def once(socket: FakeSocket) -> None:
        await socket.send({"text": "Hello"})
        async for _ in socket:
            pass

    async with listening(once, conversation(), timeout=0.05) as found:
        assert await anext(found) == {"text": "Hello"}
        with pytest.raises(ProviderError) as failed:
            await anext(found)
    assert failed.value.category == "timeout"


async def test_a_vendor_may_send_nothing_for_silence() -> None:
    """It is enough that it has sent something earlier."""

    async def greet(socket: FakeSocket) -> None:
        await socket.send({"type": "begin"})
        async for _ in socket:
            pass

    async def noises() -> AsyncIterator[Any]:
        yield Pause()
        await settled.wait()
        yield Pause()
        await anyio.sleep_forever()

    settled = anyio.Event()
    async with listening(greet, noises(), quiet=0.01, hears_silence=False) as found:
        assert await anext(found) == {"type": "begin"}
        assert await anext(found) is None
        found.settle()
        settled.set()
        assert await anext(found) is None


async def test_a_vendor_that_ends_the_stream_has_failed() -> None:
    """This is so even if it closes normally."""

    async def close(socket: FakeSocket) -> None:
        await anext(socket)

    async with listening(close, conversation()) as found:
        with pytest.raises(ProviderError) as failed:
            await anext(found)
    assert failed.value.category == "unavailable"


async def conversation() -> AsyncIterator[Any]:
    """Yield one utterance, and then silence without end."""
    yield FRAME
    yield Pause()
    await anyio.sleep_forever()


async def test_listen_can_recognise_one_utterance() -> None:
    """It gets a pause after the audio, and is closed after its final result."""
    heard: list[object] = []

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        heard.extend([each async for each in request.audio])
        yield SpeechBegan()
        yield Transcript("Hello", True)
        yield Settled()
        yield Transcript("late", True)

    assert [each async for each in one_utterance(listen, STTRequest(items(FRAME)))] == [Transcript("Hello", True)]
    assert heard == [FRAME, Pause()]


async def test_a_listen_that_ends_before_it_has_settled_has_failed() -> None:
    """The framework tries the utterance again."""

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        yield Transcript("Hello", False)

    with pytest.raises(ProviderError) as failed:
        assert [each async for each in one_utterance(listen, STTRequest(items(FRAME)))] == []
    assert (failed.value.category, failed.value.retryable) == ("unavailable", True)


OBJECTS = [{"w": "Hello", "at": 0, "to": 400}, {"w": "there.", "at": 500, "to": 900}]


def test_words_of_objects() -> None:
    """The times for a TTS count from the last `restart`."""
    assert words_of("acme", OBJECTS, "w", "at", unit=0.001) == [Word("Hello", 0.0), Word("there.", 0.5)]
    assert words_of("acme", OBJECTS, "w", "at", "to", unit=0.001)[1] == Word("there.", 0.5, 0.9)
    speech = Speech("acme", 16_000)
    speech.audio(bytes(32_000))
    speech.restart()
    assert speech.words_of(OBJECTS, "w", "at", "to", unit=0.001)[1] == Word("there.", 1.5, 1.9)


@pytest.mark.parametrize(
    "malformed", [None, [None], [{"w": "a"}], [{"at": 0}], [{"w": 5, "at": 0}], [{"w": "a", "at": "0"}]]
)
def test_malformed_objects_are_a_failure_of_the_vendor(malformed: Any) -> None:
    """They do not count as mistakes of the provider."""
    with pytest.raises(ProviderError) as failed:
        words_of("acme", malformed, "w", "at")
    assert failed.value.category == "unavailable"
    with pytest.raises(ProviderError):
        Speech("acme", 16_000).words_of(malformed, "w", "at")
