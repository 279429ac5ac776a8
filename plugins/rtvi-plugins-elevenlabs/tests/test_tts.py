"""Speech: one connection for a session, and a context for each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from elevenlabs_server import DIALOGUE, LASTS, VOICE, ElevenLabs, elevenlabs, path_of

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins.session import Secret
from rtvi_plugins_elevenlabs.tts import RATE, ElevenLabsTTS, elevenlabs_tts, speech
from rtvi_plugins_vendor.provider_tests import one_by_one, tone
from rtvi_plugins_vendor.testing import Answer, FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[ElevenLabs, ElevenLabsTTS]]:
    """Run a fake, and open a provider that uses it."""
    async with elevenlabs() as fake, elevenlabs_tts(KEY, base_url=fake.vendor.url, timeout=2.0) as tts:
        speech(tts)
        yield fake, tts


async def said(tts: ElevenLabsTTS, *items: str) -> list[TTSPiece]:
    """Return all pieces of a request."""
    return [piece async for piece in tts.synthesize(TTSRequest(one_by_one(*items)))]


async def endless(text: str) -> AsyncIterator[str]:
    """Yield a text, and wait for ever."""
    yield text
    await anyio.sleep_forever()


def seconds(pieces: list[TTSPiece]) -> float:
    """Return the length of the audio."""
    return round(sum(each.seconds for each in pieces if isinstance(each, Audio)), 3)


def words(pieces: list[TTSPiece]) -> list[Word]:
    """Return the words."""
    return [each for each in pieces if isinstance(each, Word)]


async def test_requests_share_a_connection() -> None:
    """The times of words count from the start of the request, and not from a message."""
    async with opened() as (fake, tts):
        pieces = await said(tts, "Good morning.", "Bye!")
        assert seconds(pieces) == 19 * LASTS / 1000
        assert next(each for each in pieces if isinstance(each, Audio)) == Audio(tone(0.08, RATE), RATE)
        assert words(pieces) == [Word("Good", 0.0, 0.08), Word("morning.", 0.1, 0.26), Word("Bye!", 0.28, 0.36)]
        assert pieces[-1] == Usage(characters=17, model="eleven_flash_v2_5")
        assert words(await said(tts, "Bye!")) == [Word("Bye!", 0.0, 0.08)]
    (request,) = fake.vendor.requests
    assert request.headers["xi-api-key"] == "key-of-a-test"
    context = request.messages[0]["context_id"]
    assert request.messages[:5] == [
        {"context_id": context, "text": " "},
        {"context_id": context, "text": "Good morning. "},
        {"context_id": context, "text": "Bye! "},
        {"context_id": context, "flush": True},
        {"context_id": context, "close_context": True},
    ]
    assert request.messages[5]["context_id"] != context
    assert request.params == {
        "output_format": "pcm_24000",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
        "model_id": "eleven_flash_v2_5",
        "auto_mode": "true",
    }


async def test_the_options_are_the_vendors() -> None:
    """Another voice or model needs another connection, and the old one is closed."""
    async with opened() as (fake, tts):
        await said(tts, "Hello.")
        fake.vendor.on(path_of("my/voice").replace("my/voice", "my%2Fvoice"), fake.speak)
        speech(
            tts,
            "eleven_multilingual_v2",
            "my/voice",
            "de",
            stability=0.5,
            similarity_boost=0.6,
            style=0.1,
            use_speaker_boost=True,
            speed=0.9,
            apply_text_normalization="on",
            enable_ssml_parsing=True,
            enable_logging=False,
            seed=7,
            auto_mode=False,
            chunk_length_schedule=[50, 100],
            extra={"single": 1},
        )
        assert words(await said(tts, "Hello.")) == [Word("Hello.", 0.02, 0.14)]  # after the space that opens it
        first, second = fake.vendor.requests
        assert await first.outcome() == "left"
    assert second.path == "/v1/text-to-speech/my%2Fvoice/multi-stream-input"
    settings = {"stability": 0.5, "similarity_boost": 0.6, "style": 0.1, "use_speaker_boost": True, "speed": 0.9}
    assert second.messages[0] == {
        "context_id": second.messages[0]["context_id"],
        "text": " ",
        "voice_settings": settings,
        "generation_config": {"chunk_length_schedule": [50, 100]},
    }
    assert second.params == {
        "output_format": "pcm_24000",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
        "model_id": "eleven_multilingual_v2",
        "language_code": "de",
        "apply_text_normalization": "on",
        "enable_ssml_parsing": "true",
        "enable_logging": "false",
        "seed": "7",
        "single": "1",
    }


@pytest.mark.parametrize("model", ["eleven_v3", "eleven_v3_conversational", "eleven_v4", "eleven_v4_turbo"])
async def test_models_of_the_other_api(model: str) -> None:
    """ElevenLabs refuses them over "Text to Speech". Each text is flushed, because a short one would wait."""
    async with opened() as (fake, tts):
        speech(tts, model, language_code="de", stability=0.5, speed=0.9, enable_ssml_parsing=True, seed=7)
        pieces = await said(tts, "Good morning.", "Bye!")
        assert seconds(pieces) == 19 * LASTS / 1000
        assert words(pieces) == [Word("Good", 0.0, 0.08), Word("morning.", 0.1, 0.26), Word("Bye!", 0.28, 0.36)]
        assert pieces[-1] == Usage(characters=17, model=model)
        assert words(await said(tts, "Bye!")) == [Word("Bye!", 0.0, 0.08)]
    (request,) = fake.vendor.requests
    assert request.path == DIALOGUE
    assert request.params == {
        "output_format": "pcm_24000",
        "sync_alignment": "true",
        "model_id": model,
        "language_code": "de",
        "seed": "7",
    }
    context = {"context_id": request.messages[0]["context_id"]}
    assert request.messages[:6] == [
        {**context, "voices": [VOICE], "voice_settings": {"stability": 0.5}},
        {**context, "inputs": [{"text": "Good morning. ", "voice_id": VOICE}]},
        {**context, "flush": True},
        {**context, "inputs": [{"text": "Bye! ", "voice_id": VOICE}]},
        {**context, "flush": True},
        {**context, "close_context": True},
    ]


async def test_the_other_api_without_flushes() -> None:
    """The text is flushed at its end only. "auto" is the default of the vendor, which has no name for it here."""
    async with opened() as (fake, tts):
        speech(tts, "eleven_v4_turbo", auto_mode=False, apply_text_normalization="auto")
        assert seconds(await said(tts, "Good morning.", "Bye!")) == 19 * LASTS / 1000
    (request,) = fake.vendor.requests
    assert request.params == {"output_format": "pcm_24000", "sync_alignment": "true", "model_id": "eleven_v4_turbo"}
    assert "voice_settings" not in request.messages[0]
    assert [list(each)[1] for each in request.messages] == ["voices", "inputs", "inputs", "flush", "close_context"]


@pytest.mark.parametrize(("model", "times"), [("eleven_flash_v2_5", 2), ("eleven_v4_turbo", 1)])
async def test_an_interruption_closes_the_context(model: str, times: int) -> None:
    """Also after its text was complete, where it was closed already. The next request uses the same connection."""
    async with opened() as (fake, tts):
        speech(tts, model)
        for text in (one_by_one("one two three four"), endless("one two three four. ")):
            async with aclosing(tts.synthesize(TTSRequest(text))) as stream:
                await anext(stream)
        assert words(await said(tts, "Bye!")) == [Word("Bye!", 0.0, 0.08)]
    (request,) = fake.vendor.requests
    closed = [each["context_id"] for each in request.messages if "close_context" in each]
    assert [closed.count(each) for each in dict.fromkeys(closed)] == [times, 1, 1]


@pytest.mark.parametrize(
    ("model", "alive"), [("eleven_flash_v2_5", {"text": ""}), ("eleven_v4_turbo", {"keep_alive": True})]
)
async def test_a_pause_between_sentences_keeps_the_context(
    model: str, alive: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ElevenLabs would close it, as during a long function call, and the rest would not be spoken."""
    monkeypatch.setattr("rtvi_plugins_elevenlabs.tts._ALIVE_SECONDS", 0.01)
    async with opened() as (fake, tts):

        async def texts() -> AsyncIterator[str]:
            yield "Hello. "
            while sum(alive.items() <= each.items() for each in fake.vendor.requests[0].messages) < 2:
                await anyio.lowlevel.checkpoint()
            yield "Bye!"

        speech(tts, model)
        pieces = [piece async for piece in tts.synthesize(TTSRequest(texts()))]
        assert [each.text for each in words(pieces)] == ["Hello.", "Bye!"]
        assert pieces[-1] == Usage(characters=11, model=model)


async def test_a_context_that_ends_early_is_a_failure() -> None:
    """The rest of the text has not been spoken."""

    async def end(socket: FakeSocket) -> None:
        message = await anext(socket)
        await socket.send({"contextId": message["context_id"], "isFinal": True})
        async for _ in socket:
            pass

    async with opened() as (fake, tts):
        fake.vendor.on(path_of(tts.voice_id), end)
        with pytest.raises(ProviderError, match="elevenlabs"):
            async for _ in tts.synthesize(TTSRequest(endless("Hello. "))):
                pass


@pytest.mark.parametrize(
    ("alignment", "expected"),
    [
        ({"chars": ["H", "i"], "charStartTimesMs": [0, 10], "charsDurationsMs": [10, 10]}, [Word("Hi", 0.0, 0.02)]),
        ({"chars": ["H", "i"], "charsStartTimesMs": [0, 10], "charDurationsMs": [10, 10]}, [Word("Hi", 0.0, 0.02)]),
        ({"chars": ["H", "i"], "charStartTimesMs": None, "charDurationsMs": None}, []),
        ({"chars": ["H", "i"], "charStartTimesMs": [0], "charDurationsMs": [10, 10]}, []),
    ],
)
async def test_the_times_have_two_names_and_may_be_absent(alignment: object, expected: list[Word]) -> None:
    """The audio is played anyway."""

    async def speak(socket: FakeSocket) -> None:
        async for message in socket:
            if message.get("close_context"):
                about = {"contextId": message["context_id"]}
                await socket.send({"audio": "AAAA", "alignment": alignment, **about})
                await socket.send({"isFinal": True, **about})

    async with opened() as (fake, tts):
        fake.vendor.on(path_of(tts.voice_id), speak)
        pieces = await said(tts, "Hi")
    assert words(pieces) == expected
    assert any(isinstance(each, Audio) for each in pieces)


async def test_nothing_to_say() -> None:
    """No request is sent to ElevenLabs."""
    async with opened() as (fake, tts):
        assert await said(tts, " ", "") == []
    assert fake.vendor.requests == []


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({"message": "key-of-a-test", "error": "quota_exceeded", "code": 1008}, None, "quota"),
        ({"message": "key-of-a-test", "error": "invalid_api_key", "code": 1008}, None, "auth"),
        ({"message": "key-of-a-test", "error": "max_active_conversations", "code": 1008}, None, "rate"),
        ({"message": "key-of-a-test", "error": "concurrent_limit_exceeded", "code": 1008}, None, "rate"),
        ({"message": "key-of-a-test", "error": "rate_limit_exceeded", "code": 1008}, None, "rate"),
        ({"message": "key-of-a-test", "error": "input_timeout_exceeded", "code": 1008}, None, "unavailable"),
        ({"message": "key-of-a-test", "error": "voice_id_does_not_exist", "code": 1008}, None, "bad-request"),
        ({"message": "key-of-a-test", "error": "key-of-a-test"}, None, "unavailable"),
        ({"alignment": ["a"]}, None, "unavailable"),
        ({"alignment": {"chars": ["a"], "charStartTimesMs": ["b"], "charDurationsMs": [1]}}, None, "unavailable"),
        ({"audio": "no base64", "contextId": ["a"]}, None, "unavailable"),
        ({"audio": None}, 1008, "bad-request"),
        ({"audio": None}, 1011, "unavailable"),
        ({"audio": None}, 1000, "unavailable"),
    ],
)
async def test_failures(
    message: dict[str, object], code: int | None, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    """These are messages with an error, and close codes."""

    async def fail(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.send(message)
        if code is not None:
            await socket.close(code)
        async for _ in socket:
            pass

    async with opened() as (fake, tts):
        fake.vendor.on(path_of(tts.voice_id), fail)
        with pytest.raises(ProviderError) as failed:
            await said(tts, "Hello.")
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)
    assert caplog.records == []


async def test_the_key_is_checked() -> None:
    """A key that allows only speech is valid."""
    async with opened() as (fake, tts):
        missing = Answer(401, json={"detail": {"status": "missing_permissions"}})
        fake.vendor.on(
            "/v1/user", Answer(json={}), missing, Answer(401, json={"detail": {"status": "invalid_api_key"}})
        )
        await tts.check_key()
        await tts.check_key()
        with pytest.raises(ProviderError, match="elevenlabs"):
            await tts.check_key()
