"""Recognition: one utterance, and a whole session over one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest
from cartesia_server import Cartesia, cartesia

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    SpeechEnded,
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_cartesia.stt import CartesiaSTT, cartesia_stt, recognition
from rtvi_plugins_vendor.provider_tests import (
    SILENCE,
    Utterances,
    frames,
    listen,
    listen_until,
    microphone,
    outline,
    tone,
    transcribe,
)
from rtvi_plugins_vendor.testing import FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
#: A second of speech, in frames of 32 ms.
UTTERANCE = frames(tone(1.024, 16_000))


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Cartesia, CartesiaSTT]]:
    """Run a fake, and open a provider that uses it."""
    async with cartesia() as fake, cartesia_stt(KEY, base_url=fake.vendor.url, timeout=2.0) as stt:
        recognition(stt)
        yield fake, stt


async def test_an_utterance() -> None:
    """Its parts are joined unchanged, because they contain the spaces between them."""
    async with opened() as (fake, stt):
        *interim, final, usage = await transcribe(stt, UTTERANCE)
    assert [(each.text, each.final) for each in interim if isinstance(each, Transcript)] == [
        ("one", False),
        ("one two", False),
        ("one two three", False),
        ("one two three four", False),
        ("one two three four five", False),
        ("one two", False),
        ("one two three four five", False),
    ]
    assert isinstance(final, Transcript)
    assert (final.text, final.final, final.language) == ("one two three four five", True, "en")
    assert final.words[0] == Word("one", 0.0, 0.2)
    assert final.words[4].text == "five"
    assert usage == Usage(seconds=1.024, model="ink-2")
    (request,) = fake.vendor.requests
    assert request.headers["authorization"] == "Bearer key-of-a-test"
    assert request.headers["cartesia-version"] == "2026-08-14"
    assert [len(each) for each in request.messages[:-1]] == [3072] * 10 + [2048]  # three frames in one message
    assert request.messages[-1] == "close"


async def test_both_forms_of_words() -> None:
    """Cartesia's reference and its SDK differ."""

    async def answer(socket: FakeSocket) -> None:
        words = {"words": ["one", "two"], "start": [0.0, 0.2], "end": [0.2, 0.4]}
        await socket.send({"type": "transcript", "is_final": True, "text": "one two", "words": [words]})
        await socket.send({"type": "done"})

    async with opened() as (fake, stt):
        fake.vendor.on("/stt/websocket", answer)
        *_, final, _ = await transcribe(stt, UTTERANCE)
    assert isinstance(final, Transcript)
    assert final.words == [Word("one", 0.0, 0.2), Word("two", 0.2, 0.4)]


async def test_the_options_are_the_vendors() -> None:
    """An option that is not set is not sent."""
    async with opened() as (fake, stt):
        await transcribe(stt, UTTERANCE)
        recognition(stt, "ink-whisper", "de", ["Rivendell"], 0.5, 0.1, extra={"tag": "hotel", "language": None})
        await transcribe(stt, UTTERANCE)
    first, second = (each.params for each in fake.vendor.requests)
    audio = {"encoding": "pcm_s16le", "sample_rate": "16000"}
    assert first == {**audio, "model": "ink-2", "language": "en"}
    silence = {"max_silence_duration_secs": "0.5", "min_volume": "0.1"}
    assert second == {**audio, "model": "ink-whisper", "keyterm": "Rivendell", **silence, "tag": "hotel"}


async def test_a_session_has_one_connection() -> None:
    """Each pause is answered, after the final transcript."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        pieces = await listen(stt, UTTERANCE, UTTERANCE)
        finals = [each.text for each in pieces if isinstance(each, Transcript) and each.final]
        assert finals == ["Good morning.", "A room, please."]
        assert [each.seconds for each in pieces if isinstance(each, Usage)] == [pytest.approx(1.024)] * 2
        (request,) = fake.vendor.requests
        assert await request.outcome() == "answered"
    assert request.messages.count("finalize") == 2
    assert request.messages[-1] == "close"


async def test_changed_options_apply_from_the_next_utterance() -> None:
    """The options are parameters of the connection, so `listen` ends and is called again."""
    async with opened() as (_, stt):
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(Utterances(UTTERANCE, UTTERANCE))):
            pieces.append(piece)
            recognition(stt, model="ink-whisper")
    assert [type(each) for each in pieces[-3:]] == [Transcript, Usage, Settled]


ERROR = {"type": "error", "title": "key-of-a-test", "message": "key-of-a-test", "request_id": "1"}


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({**ERROR, "status_code": 401}, 1000, "auth"),
        ({**ERROR, "status_code": 402}, 1000, "quota"),
        ({**ERROR, "status_code": 429}, 1000, "rate"),
        (ERROR, 1000, "unavailable"),
        ({"type": "transcript"}, 1000, "unavailable"),
        ({"type": "unknown"}, 1008, "bad-request"),
        ({"type": "unknown"}, 1000, "unavailable"),
    ],
)
async def test_failures(message: dict[str, object], code: int, category: str) -> None:
    """These are messages of the type `error`, close codes, and an end without `done`."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code)

    async with opened() as (fake, stt):
        fake.vendor.on("/stt/websocket", fail)
        with pytest.raises(ProviderError) as failed:
            await transcribe(stt, UTTERANCE)
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)


async def test_the_vendor_finds_the_utterances() -> None:
    """The bot has no VAD. All audio is charged, including silence."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        speech = [SILENCE, *UTTERANCE, *[SILENCE] * 20, *UTTERANCE, *[SILENCE] * 3]
        pieces = await listen_until(stt, SpeechEnded, 2, *speech)
        assert outline(pieces) == [
            SpeechBegan,
            "Good morning.",
            Usage,
            SpeechEnded,
            SpeechBegan,
            "A room, please.",
            Usage,
            SpeechEnded,
        ]
        (request,) = fake.vendor.requests
        assert request.params == {"encoding": "pcm_s16le", "sample_rate": "16000", "model": "ink-2"}


async def test_a_microphone_that_is_switched_off() -> None:
    """What was heard becomes final, and the utterance ends."""
    async with opened() as (_, stt):
        pieces = await listen_until(stt, Settled, 1, *UTTERANCE[:20], Pause())
        assert outline(pieces)[0] == SpeechBegan
        assert outline(pieces)[-1] == Settled
        assert "one two three four five" in outline(pieces)


async def test_changed_options_with_endpointing() -> None:
    """Changed options apply after the utterance: `listen` ends, and is called again."""
    async with opened() as (_, stt), aclosing(microphone(*UTTERANCE)) as audio:
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(audio, endpointing=True)):
            pieces.append(piece)
            recognition(stt, keyterm=["Bree"])
        assert isinstance(pieces[-1], SpeechEnded)


@pytest.mark.parametrize(
    ("message", "category"),
    [
        ({"type": "error", "status_code": 402, "title": "key-of-a-test", "message": ""}, "quota"),
        ({"type": "turn.update"}, "unavailable"),
        ({"type": "connected"}, "unavailable"),
    ],
)
async def test_failures_with_endpointing(message: dict[str, object], category: str) -> None:
    """These are an error, a malformed turn, and a connection that ends while the microphone is on."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)

    async with opened() as (fake, stt):
        fake.vendor.on("/stt/turns/websocket", fail)
        with pytest.raises(ProviderError) as failed:
            await listen_until(stt, Settled, 1, *UTTERANCE)
    assert failed.value.category == category
