"""Recognition by the models of the series Flux, which judge the end of a turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from deepgram_server import Deepgram, deepgram, tone

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    SpeechEnded,
    STTPiece,
    STTRequest,
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_deepgram.stt import DeepgramSTT, deepgram_stt, recognition
from rtvi_plugins_vendor.testing import FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
SILENCE = Audio(bytes(1024), 16_000)
MODEL = "flux-general-en"
#: What is sent if Deepgram finds the utterances.
PARAMS = {"model": MODEL}
PCM = tone(1.024, 16_000)
#: A second of speech and 96 ms of silence, in frames of 32 ms.
UTTERANCE = [
    *(Audio(PCM[at : at + 1024], 16_000) for at in range(0, len(PCM), 1024)),
    *[Audio(bytes(1024), 16_000)] * 3,
]


async def utterance() -> AsyncGenerator[Audio]:
    """One utterance."""
    for frame in UTTERANCE:
        await anyio.lowlevel.checkpoint()
        yield frame


class Conversation(AsyncIterator[Audio | Pause]):
    """Utterances, of which the next one comes when the one before is settled."""

    def __init__(self, *utterances: list[Audio]) -> None:
        self.items: list[list[Audio | Pause]] = [[*each, Pause()] for each in utterances]
        self.settled = anyio.Event()
        self.settled.set()

    async def __anext__(self) -> Audio | Pause:
        await self.settled.wait()
        if not self.items:
            await anyio.sleep_forever()
        item = self.items[0].pop(0)
        if isinstance(item, Pause):
            self.items.pop(0)
            self.settled = anyio.Event()
        return item


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Deepgram, DeepgramSTT]]:
    """A fake and a provider that uses it."""
    async with deepgram() as fake, deepgram_stt(KEY, base_url=fake.vendor.url, timeout=2.0) as stt:
        recognition(stt, model="flux-general-en")
        yield fake, stt


async def heard(stt: DeepgramSTT) -> list[STTPiece]:
    """All pieces of one utterance."""
    async with aclosing(utterance()) as audio:
        return [piece async for piece in stt.transcribe(STTRequest(audio))]


async def conversed(stt: DeepgramSTT, *utterances: list[Audio]) -> list[ListenPiece]:
    """All pieces of a session with these utterances."""
    conversation, pieces = Conversation(*utterances), list[ListenPiece]()
    async with aclosing(stt.listen(ListenRequest(conversation))) as stream:
        async for piece in stream:
            pieces.append(piece)
            if isinstance(piece, Settled):
                conversation.settled.set()
                if pieces.count(Settled()) == len(utterances):
                    break
    return pieces


def finals(pieces: list[ListenPiece]) -> list[tuple[str, bool | None]]:
    """Return the final transcripts, and whether they end the turn."""
    return [(each.text, each.ends_turn) for each in pieces if isinstance(each, Transcript) and each.final]


async def test_an_utterance() -> None:
    """Interim transcripts, a final one with its words, and what is charged."""
    async with opened() as (fake, stt):
        *interim, final, usage = await heard(stt)
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
    """Only those of Flux are sent."""
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
        *_, final, _ = await heard(stt)
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
    """Each pause ends the turn. Noise has no answer, and needs none."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        pieces = await conversed(stt, UTTERANCE, UTTERANCE[-1:], UTTERANCE)
        assert finals(pieces) == [("Good morning.", None), ("A room, please.", None)]
        assert len([each for each in pieces if isinstance(each, Usage)]) == 3
        (request,) = fake.vendor.requests
        assert await request.outcome() == "answered"
    assert request.messages.count({"type": "ForceEndTurn"}) == 3


@pytest.mark.parametrize(("threshold", "ends"), [(0.7, True), (0.9, False)])
async def test_the_vendor_judges_the_end_of_a_turn(threshold: float, ends: bool) -> None:
    """If the author asks for it. Flux may end a turn before the pause."""
    async with opened() as (_, stt):
        recognition(stt, model="flux-general-en", eot_threshold=threshold)
        assert finals(await conversed(stt, UTTERANCE)) == [("one two three four five", ends)]


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
    """Messages of the type `Error`, and close codes."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code)

    async with opened() as (fake, stt):
        fake.vendor.on("/v2/listen", fail)
        with pytest.raises(ProviderError) as failed:
            await heard(stt)
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)


async def microphone(*items: Audio | Pause) -> AsyncGenerator[Audio | Pause]:
    """All audio of the microphone, and then silence for ever."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item
    while True:
        await anyio.sleep(0.001)
        yield SILENCE


async def found(stt: DeepgramSTT, ends: type, count: int, *items: Audio | Pause) -> list[ListenPiece]:
    """All pieces until so many of a type have come, where the vendor finds the utterances."""
    pieces: list[ListenPiece] = []
    async with (
        aclosing(microphone(*items)) as audio,
        aclosing(stt.listen(ListenRequest(audio, endpointing=True))) as stream,
    ):
        async for piece in stream:
            pieces.append(piece)
            if len([each for each in pieces if isinstance(each, ends)]) == count:
                break
    return pieces


def outline(pieces: list[ListenPiece]) -> list[object]:
    """Return the final texts, and the types of what is no transcript."""
    return [
        each.text if isinstance(each, Transcript) else type(each)
        for each in pieces
        if not isinstance(each, Transcript) or (each.final and each.text)
    ]


async def test_the_vendor_finds_the_utterances() -> None:
    """In a bot without a VAD. The audio is charged, also silence."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        speech = [SILENCE, *UTTERANCE, *[SILENCE] * 20, *UTTERANCE]
        pieces = await found(stt, SpeechEnded, 2, *speech)
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
    """What was heard is settled, and the utterance has ended."""
    async with opened() as (_, stt):
        pieces = await found(stt, Settled, 1, *UTTERANCE[:20], Pause())
        assert outline(pieces)[0] == SpeechBegan
        assert outline(pieces)[-1] == Settled
        assert "one two three four five" in outline(pieces)


async def test_changed_options_with_endpointing() -> None:
    """They apply after the utterance: `listen` ends, and is called again."""
    async with opened() as (_, stt), aclosing(microphone(*UTTERANCE)) as audio:
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(audio, endpointing=True)):
            pieces.append(piece)
            recognition(stt, model=MODEL, keyterm=["Bree"])
        assert isinstance(pieces[-1], SpeechEnded)
