"""Recognition: one utterance, and a whole session over one connection."""

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
    STTRequest,
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_deepgram.stt import DeepgramSTT, deepgram_stt, recognition
from rtvi_plugins_vendor.provider_tests import (
    SILENCE,
    Utterances,
    frames,
    listen,
    listen_until,
    microphone,
    one_by_one,
    outline,
    tone,
    transcribe,
)
from rtvi_plugins_vendor.testing import Answer, FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
MODEL = "nova-3"
#: What is sent if Deepgram finds the utterances.
PARAMS = {"endpointing": "300", "utterance_end_ms": "1000"}


#: A second of speech, and 160 ms of silence.
UTTERANCE = [*frames(tone(1.024, 16_000)), *[SILENCE] * 5]


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Deepgram, DeepgramSTT]]:
    """Run a fake, and open a provider that uses it."""
    async with deepgram() as fake, deepgram_stt(KEY, base_url=fake.vendor.url, timeout=2.0) as stt:
        recognition(stt)
        yield fake, stt


async def test_an_utterance() -> None:
    """There are interim transcripts, a final one with its words, and the usage."""
    async with opened() as (fake, stt):
        *interim, final, usage = await transcribe(stt, UTTERANCE)
    assert [(each.text, each.final) for each in interim if isinstance(each, Transcript)] == [
        ("one", False),
        ("one two", False),
        ("one two three", False),
        ("one two three four", False),
        ("one two three four five", False),
    ]
    assert isinstance(final, Transcript)
    assert (final.text, final.final, final.confidence) == ("one two three four five", True, 0.97)
    assert (final.language, final.speaker, final.ends_turn) == (None, None, None)
    assert final.words[:2] == [Word("one", 0.0, 0.2), Word("two", 0.2, 0.4)]
    assert usage == Usage(seconds=1.184, model="nova-3")
    (request,) = fake.vendor.requests
    assert request.headers["authorization"] == "Token key-of-a-test"
    assert [len(each) for each in request.messages[:-1]] == [3072] * 12 + [1024]  # three frames in one message
    assert request.messages[-1] == {"type": "CloseStream"}


async def test_the_options_are_the_vendors() -> None:
    """An option that is not set is not sent."""
    async with opened() as (fake, stt):
        await transcribe(stt, UTTERANCE)
        recognition(
            stt,
            model="nova-2",
            language="multi",
            language_hint=["es"],
            keyterm=["Rivendell"],
            interim_results=False,
            numerals=True,
            profanity_filter=True,
            redact=["pci"],
            diarize_model="latest",
            endpointing=False,
            mip_opt_out=True,
            extra={"tag": "hotel", "punctuate": None},
        )
        *_, final, _ = await transcribe(stt, UTTERANCE)
    first, second = (each.params for each in fake.vendor.requests)
    audio = {"encoding": "linear16", "sample_rate": "16000", "channels": "1"}
    default = {"language": "en", "interim_results": "true", "smart_format": "true", "punctuate": "true"}
    assert first == {**audio, **default, "model": "nova-3"}
    assert second == {
        **audio,
        "model": "nova-2",
        "language": "multi",
        "language_hint": "es",
        "keyterm": "Rivendell",
        "interim_results": "false",
        "smart_format": "true",
        "numerals": "true",
        "profanity_filter": "true",
        "redact": "pci",
        "diarize_model": "latest",
        "endpointing": "false",
        "mip_opt_out": "true",
        "tag": "hotel",
    }
    assert isinstance(final, Transcript)
    assert (final.language, final.speaker) == ("de", "0")


async def test_silence_that_the_author_asks_for_ends_the_turn() -> None:
    """`endpointing` is in the final transcript, and `utterance_end_ms` comes after it."""
    async with opened() as (_, stt):
        recognition(stt, endpointing=100)
        pieces = await transcribe(stt, UTTERANCE)
    assert [each.ends_turn for each in pieces if isinstance(each, Transcript) and each.final] == [True]
    async with opened() as (_, stt):
        recognition(stt, utterance_end_ms=1000)
        pieces = [each async for each in stt.transcribe(STTRequest(one_by_one(*UTTERANCE, *[SILENCE] * 40)))]
    finals = [(each.text, each.ends_turn) for each in pieces if isinstance(each, Transcript) and each.final]
    assert finals == [("one two three four five", None), ("", True)]


async def test_a_session_has_one_connection() -> None:
    """Each pause is answered, after the final transcript."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        pieces = await listen(stt, UTTERANCE, UTTERANCE)
        assert [each.text for each in pieces if isinstance(each, Transcript) and each.final] == [
            "Good morning.",
            "A room, please.",
        ]
        assert [each.seconds for each in pieces if isinstance(each, Usage)] == [pytest.approx(1.184)] * 2
        (request,) = fake.vendor.requests
        assert await request.outcome() == "answered"
    assert request.messages.count({"type": "Finalize"}) == 2
    assert request.messages[-1] == {"type": "CloseStream"}


async def test_a_pause_that_is_not_answered() -> None:
    """Deepgram does not promise an answer to `Finalize`. It received it, so it has no further transcript."""
    async with deepgram() as fake, deepgram_stt(KEY, base_url=fake.vendor.url, timeout=0.05) as stt:
        recognition(stt)
        fake.answers_finalize = False
        assert Settled() in await listen(stt, UTTERANCE)


async def test_changed_options_apply_from_the_next_utterance() -> None:
    """The options are parameters of the connection, so `listen` ends and is called again."""
    async with opened() as (fake, stt):
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(Utterances(UTTERANCE, UTTERANCE))):
            pieces.append(piece)
            recognition(stt, language="de")
        assert [type(each) for each in pieces[-3:]] == [Transcript, Usage, Settled]
        assert await fake.vendor.requests[0].outcome() == "answered"


async def test_a_session_whose_connection_breaks_is_a_failure() -> None:
    """The framework opens a new session, and sends the utterance again."""

    async def close(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.close(1000)

    async with opened() as (fake, stt):
        fake.vendor.on("/v1/listen", close)
        with pytest.raises(ProviderError) as failed:
            _ = [each async for each in stt.listen(ListenRequest(Utterances(UTTERANCE)))]
    assert (failed.value.category, failed.value.retryable) == ("unavailable", True)


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({"type": "Error", "variant": "SchemaError", "description": "key-of-a-test"}, 1000, "bad-request"),
        ({"type": "Error", "variant": "Other", "description": "key-of-a-test"}, 1000, "unavailable"),
        ({"type": "Results"}, 1000, "unavailable"),
        ({"type": "SpeechStarted"}, 1008, "bad-request"),
        ({"type": "SpeechStarted"}, 1011, "unavailable"),
        ({"type": "SpeechStarted"}, 1000, "unavailable"),
    ],
)
async def test_failures(message: dict[str, str], code: int, category: str) -> None:
    """These are messages of the type `Error`, close codes, and an end without a summary."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code)

    async with opened() as (fake, stt):
        fake.vendor.on("/v1/listen", fail)
        with pytest.raises(ProviderError) as failed:
            await transcribe(stt, UTTERANCE)
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)


async def test_the_key_is_checked() -> None:
    """The check is made before the first call, by a request that costs nothing."""
    async with opened() as (fake, stt):
        fake.vendor.on("/v1/auth/token", Answer(json={}), Answer(401))
        await stt.check_key()
        with pytest.raises(ProviderError, match="deepgram"):
            await stt.check_key()


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
