"""Recognition: one utterance, and a whole session over one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from assemblyai_server import AssemblyAI, assemblyai

import rtvi_plugins_assemblyai.stt as provider
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
    Transcript,
    Usage,
    Word,
)
from rtvi_plugins.session import Secret
from rtvi_plugins_assemblyai._turns import Turns
from rtvi_plugins_assemblyai.stt import AssemblyAISTT, assemblyai_stt, recognition
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
from rtvi_plugins_vendor.testing import Answer, FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
#: A second of speech and 96 ms of silence, in frames of 32 ms.
UTTERANCE = [*frames(tone(1.024, 16_000)), *[SILENCE] * 3]


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[AssemblyAI, AssemblyAISTT]]:
    """Run a fake, and open a provider that uses it."""
    async with assemblyai() as fake, assemblyai_stt(KEY, base_url=fake.vendor.url, timeout=2.0) as stt:
        recognition(stt)
        yield fake, stt


def finals(pieces: list[STTPiece] | list[ListenPiece]) -> list[tuple[str, bool | None]]:
    """Return the final transcripts, and whether they end the turn."""
    return [(each.text, each.ends_turn) for each in pieces if isinstance(each, Transcript) and each.final]


async def test_an_utterance() -> None:
    """The newest word is shown before it is certain, and the formatted text is the final one."""
    async with opened() as (fake, stt):
        *interim, final, usage = await transcribe(stt, UTTERANCE)
    assert [(each.text, each.final) for each in interim if isinstance(each, Transcript)] == [
        ("one", False),
        ("one two", False),
        ("one two three", False),
        ("one two three four", False),
        ("one two three four five", False),
        ("one two three four five", False),
    ]
    assert isinstance(final, Transcript)
    assert (final.text, final.final, final.ends_turn) == ("One two three four five.", True, None)
    assert (final.language, final.speaker, final.confidence) == (None, None, 0.9)
    assert final.words[:2] == [Word("One", 0.0, 0.2), Word("two", 0.2, 0.4)]
    assert usage == Usage(seconds=1)
    (request,) = fake.vendor.requests
    assert request.headers["authorization"] == "key-of-a-test"
    assert request.headers["assemblyai-version"] == "2025-05-12"
    # Three frames in one message, and silence where a message would be too short for AssemblyAI.
    assert [len(each) for each in request.messages[:-1]] == [3072] * 11 + [2048]
    assert request.messages[-1] == {"type": "Terminate"}


async def test_the_options_are_the_vendors() -> None:
    """An option that is not set is not sent. Lists are JSON, as in AssemblyAI's SDK."""
    async with opened() as (fake, stt):
        await transcribe(stt, UTTERANCE)
        recognition(
            stt,
            speech_model="universal-streaming-multilingual",
            format_turns=False,
            keyterms_prompt=["Rivendell", "Bree"],
            end_of_turn_confidence_threshold=0.5,
            min_turn_silence=300,
            max_turn_silence=900,
            vad_threshold=0.6,
            language_detection=True,
            language_codes=["de"],
            prompt="A hotel.",
            filter_profanity=True,
            speaker_labels=True,
            redact_pii=True,
            extra={"max_speakers": 2},
        )
        *_, final, _ = await transcribe(stt, UTTERANCE)
    first, second = (each.params for each in fake.vendor.requests)
    audio = {"encoding": "pcm_s16le", "sample_rate": "16000"}
    assert first == {
        **audio,
        "speech_model": "universal-streaming-english",
        "format_turns": "true",
        "end_of_turn_confidence_threshold": "1.0",
    }
    assert second == {
        **audio,
        "speech_model": "universal-streaming-multilingual",
        "format_turns": "false",
        "keyterms_prompt": '["Rivendell", "Bree"]',
        "end_of_turn_confidence_threshold": "0.5",
        "min_turn_silence": "300",
        "max_turn_silence": "900",
        "vad_threshold": "0.6",
        "language_detection": "true",
        "language_codes": '["de"]',
        "prompt": "A hotel.",
        "filter_profanity": "true",
        "speaker_labels": "true",
        "redact_pii": "true",
        "max_speakers": "2",
    }
    assert isinstance(final, Transcript)
    assert (final.text, final.language, final.speaker) == ("one two three four five", "de", "A")


async def test_a_session_has_one_connection() -> None:
    """Each pause is answered, after the final transcript. Noise gets no answer, and needs none."""
    async with opened() as (fake, stt):
        fake.sentences = ["Good morning.", "A room, please."]
        pieces = await listen(stt, UTTERANCE, UTTERANCE[-1:], UTTERANCE)
        assert finals(pieces) == [("Good morning.", None), ("A room, please.", None)]
        seconds = [each.seconds for each in pieces if isinstance(each, Usage)]
        assert seconds == [pytest.approx(1.12), pytest.approx(0.032), pytest.approx(1.12)]
        (request,) = fake.vendor.requests
        assert await request.outcome() == "answered"
    assert request.messages.count({"type": "ForceEndpoint"}) == 3
    assert request.messages[-1] == {"type": "Terminate"}


@pytest.mark.parametrize(("threshold", "ends"), [(0.6, True), (0.8, False)])
async def test_the_vendor_judges_the_end_of_a_turn(threshold: float, ends: bool) -> None:
    """This is an option for the author. AssemblyAI may end a turn before the pause."""
    async with opened() as (_, stt):
        recognition(stt, end_of_turn_confidence_threshold=threshold)
        assert finals(await listen(stt, UTTERANCE)) == [("One two three four five.", ends)]


async def test_a_turn_that_has_ended_before_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of the series Universal-3 do so. The pause then waits for nothing."""
    monkeypatch.setattr(provider, "_QUIET", 60.0)
    ended = anyio.Event()

    async def audio() -> AsyncGenerator[Audio | Pause]:
        for frame in (*UTTERANCE, *[SILENCE] * 5):
            yield frame
        await ended.wait()
        yield Pause()
        await anyio.sleep_forever()

    async with opened() as (_, stt):
        recognition(stt, speech_model="universal-3-6-pro")
        pieces: list[ListenPiece] = []
        with anyio.fail_after(10):
            async with aclosing(audio()) as heard, aclosing(stt.listen(ListenRequest(heard))) as stream:
                async for piece in stream:
                    pieces.append(piece)
                    if finals(pieces):
                        ended.set()
                    if isinstance(piece, Settled):
                        break
    assert finals(pieces) == [("One two three four five.", None)]


def test_speech_after_a_turn() -> None:
    """There may be more to come, so the pause waits."""
    word = {"text": "Hello.", "start": 700, "end": 1000, "confidence": 0.9}
    turn = {"type": "Turn", "turn_order": 0, "turn_is_formatted": True, "end_of_turn": True, "transcript": "Hello."}
    ended = {**turn, "end_of_turn_confidence": 1.0, "words": [word]}
    turns = Turns(waits_for_format=True)
    assert not turns.has_all(1.5)
    turns.read(ended)
    assert [turns.has_all(sent) for sent in (1.5, 1.8)] == [True, False]
    turns.read({"type": "SpeechStarted", "timestamp": 1200})
    assert not turns.has_all(1.5)
    turns.read({**ended, "turn_order": 1, "words": []})
    assert not turns.has_all(1.5)


async def test_audio_is_sent_in_larger_messages_where_no_turn_end_waits_for_it() -> None:
    """A pause is sent with the audio before it. AssemblyAI's own search for the end of a turn gets audio sooner."""
    async with opened() as (fake, stt):
        await listen(stt, UTTERANCE)
        await listen_until(stt, SpeechEnded, 1, *UTTERANCE)
        of_pauses, of_turns = (
            [len(each) for each in request.messages if isinstance(each, bytes)] for request in fake.vendor.requests
        )
    assert set(of_pauses) == {5120}
    assert of_turns[0] == 3072


async def test_a_turn_that_is_never_formatted() -> None:
    """Its text is used unformatted when AssemblyAI ends the session. Later messages are dropped."""

    async def unformatted(socket: FakeSocket) -> None:
        turn: dict[str, object] = {"type": "Turn", "turn_order": 0, "end_of_turn": True, "end_of_turn_confidence": 0.7}
        turn = {**turn, "transcript": "hello", "words": [], "turn_is_formatted": False}
        await socket.send(turn)
        await socket.send({"type": "Termination", "audio_duration_seconds": 1})

    async with opened() as (fake, stt):
        fake.vendor.on("/v3/ws", unformatted)
        assert finals(await transcribe(stt, UTTERANCE)) == [("hello", None)]


async def test_changed_options_apply_from_the_next_utterance() -> None:
    """The options are parameters of the connection, so `listen` ends and is called again."""
    async with opened() as (_, stt):
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(Utterances(UTTERANCE, UTTERANCE))):
            pieces.append(piece)
            recognition(stt, format_turns=False)
    assert [type(each) for each in pieces[-3:]] == [Transcript, Usage, Settled]


@pytest.mark.parametrize(
    ("message", "code", "reason", "category"),
    [
        ({"type": "Error", "error_code": 3006, "error": "key-of-a-test"}, 3006, "", "bad-request"),
        ({"type": "Error", "error_code": 3008, "error": "key-of-a-test"}, 3008, "", "unavailable"),
        ({"type": "Error", "error_code": 3009, "error": "key-of-a-test"}, 3009, "", "rate"),
        ({"error": "key-of-a-test"}, 3005, "", "unavailable"),
        ({"type": "Turn"}, 1000, "", "unavailable"),
        ({"type": "Begin"}, 1008, "Unauthorized Connection: Missing Authorization header", "auth"),
        ({"type": "Begin"}, 1008, "Unauthorized Connection: insufficient account balance", "quota"),
        ({"type": "Begin"}, 3007, "", "bad-request"),
        ({"type": "Begin"}, 4029, "", "rate"),
        ({"type": "Begin"}, 1000, "", "unavailable"),
    ],
)
async def test_failures(message: dict[str, object], code: int, reason: str, category: str) -> None:
    """These are messages of the type `Error`, close codes, and an end without `Termination`."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        await socket.close(code, reason)

    async with opened() as (fake, stt):
        fake.vendor.on("/v3/ws", fail)
        with pytest.raises(ProviderError) as failed:
            await transcribe(stt, UTTERANCE)
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)


async def test_the_key_is_checked() -> None:
    """The check is made before the first call, by a request that costs nothing."""
    async with opened() as (fake, stt):
        fake.vendor.on("/v3/token", Answer(json={}), Answer(401))
        await stt.check_key()
        with pytest.raises(ProviderError, match="assemblyai"):
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
        assert "end_of_turn_confidence_threshold" not in fake.vendor.requests[0].params


async def test_a_microphone_that_is_switched_off() -> None:
    """What was heard becomes final, and the utterance ends."""
    async with opened() as (_, stt):
        pieces = await listen_until(stt, Settled, 1, *UTTERANCE[:20], Pause())
        assert outline(pieces)[0] == SpeechBegan
        assert outline(pieces)[-1] == Settled
        assert "One two three four five." in outline(pieces)


async def test_changed_options_with_endpointing() -> None:
    """Changed options apply after the utterance: `listen` ends, and is called again."""
    async with opened() as (_, stt), aclosing(microphone(*UTTERANCE)) as audio:
        pieces: list[ListenPiece] = []
        async for piece in stt.listen(ListenRequest(audio, endpointing=True)):
            pieces.append(piece)
            recognition(stt, keyterms_prompt=["Bree"])
        assert isinstance(pieces[-1], SpeechEnded)
