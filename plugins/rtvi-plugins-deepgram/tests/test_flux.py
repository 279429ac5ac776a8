"""Recognition by the models of the series Flux, which judge the end of a turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest
from deepgram_server import Deepgram, deepgram

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
from rtvi_plugins_deepgram.stt import DeepgramSTT, deepgram_stt, recognition
from rtvi_plugins_vendor.provider_tests import (
    SILENCE,
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
MODEL = "flux-general-en"
#: What is sent if Deepgram finds the utterances.
PARAMS = {"model": MODEL}
#: A second of speech and 96 ms of silence, in frames of 32 ms.
UTTERANCE = [*frames(tone(1.024, 16_000)), *[SILENCE] * 3]


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Deepgram, DeepgramSTT]]:
    """Run a fake, and open a provider that uses it."""
    async with deepgram() as fake, deepgram_stt(KEY, base_url=fake.vendor.url, timeout=2.0) as stt:
        recognition(stt, model="flux-general-en")
        yield fake, stt


def finals(pieces: list[ListenPiece]) -> list[tuple[str, bool | None]]:
    """Return the final transcripts, and whether they end the turn."""
    return [(each.text, each.ends_turn) for each in pieces if isinstance(each, Transcript) and each.final]


async def test_an_utterance() -> None:
    """There are interim transcripts, a final one with its words, and the usage."""
    async with opened() as (fake, stt):
        *interim, final, usage = await transcribe(stt, UTTERANCE)
    assert [(each.text, each.final) for each in interim if isinstance(each, Transcript)] == [
        ("one", False),
        ("one two", False),
        ("one two three four", False),
        ("one two three four five", False),
    ]
    assert isinstance(final, Transcript)
    assert (final.text, final.final, final.confidence) == ("one two three four five", True, 0.9)
    assert (final.language, final.ends_turn) == (None, None)
    assert final.words[0] == Word("one", 0.0, 0.2)
    assert usage == Usage(seconds=1.12, model="flux-general-en")
    (request,) = fake.vendor.requests
    assert request.messages[-1] == {"type": "CloseStream"}
    audio = {"encoding": "linear16", "sample_rate": "16000"}
    assert request.params == {**audio, "model": "flux-general-en", "eot_threshold": "1.0"}


async def test_the_options_are_the_vendors() -> None:
    """Only Flux's own options are sent."""
    async with opened() as (fake, stt):
        recognition(
            stt,
            model="flux-general-multi",
            keyterm=["Rivendell"],
            numerals=True,
            profanity_filter=True,
            redact=["numbers"],
            language_hint=["de"],
            eot_threshold=0.9,
            eot_timeout_ms=3000,
            mip_opt_out=True,
            endpointing=100,
        )
        *_, final, _ = await transcribe(stt, UTTERANCE)
    assert isinstance(final, Transcript)
    assert final.language == "de"
    assert fake.vendor.requests[0].params == {
        "encoding": "linear16",
        "sample_rate": "16000",
        "model": "flux-general-multi",
        "keyterm": "Rivendell",
        "numerals": "true",
        "profanity_filter": "true",
        "redact": "numbers",
        "language_hint": "de",
        "eot_threshold": "0.9",
        "eot_timeout_ms": "3000",
        "mip_opt_out": "true",
    }


async def test_a_session_has_one_connection() -> None:
    """Each pause ends the turn. Noise gets no answer, and needs none."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        pieces = await listen(stt, UTTERANCE, UTTERANCE[-1:], UTTERANCE)
        assert finals(pieces) == [("Good morning.", None), ("A room, please.", None)]
        assert len([each for each in pieces if isinstance(each, Usage)]) == 3
        (request,) = fake.vendor.requests
        assert await request.outcome() == "answered"
    assert request.messages.count({"type": "ForceEndTurn"}) == 3


@pytest.mark.parametrize(("threshold", "ends"), [(0.7, True), (0.9, False)])
async def test_the_vendor_judges_the_end_of_a_turn(threshold: float, ends: bool) -> None:
    """This is an option for the author. Flux may end a turn before the pause."""
    async with opened() as (_, stt):
        recognition(stt, model="flux-general-en", eot_threshold=threshold)
        assert finals(await listen(stt, UTTERANCE)) == [("one two three four five", ends)]


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "key-of-a-test"}, 1000, "unavailable"),
        ({"type": "TurnInfo", "event": "Update"}, 1000, "unavailable"),
        ({"type": "Connected"}, 1008, "bad-request"),
        ({"type": "Connected"}, 1011, "unavailable"),
    ],
)
async def test_failures(message: dict[str, object], code: int, category: str) -> None:
    """These are messages of the type `Error`, and close codes."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code)

    async with opened() as (fake, stt):
        fake.vendor.on("/v2/listen", fail)
        with pytest.raises(ProviderError) as failed:
            await transcribe(stt, UTTERANCE)
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)


async def test_the_vendor_finds_the_utterances() -> None:
    """The bot has no VAD. All audio is charged, including silence."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        speech = [SILENCE, *UTTERANCE, *[SILENCE] * 20, *UTTERANCE]
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
        assert fake.vendor.requests[0].params.items() >= PARAMS.items()


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
            recognition(stt, model=MODEL, keyterm=["Bree"])
        assert isinstance(pieces[-1], SpeechEnded)
