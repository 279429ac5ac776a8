"""Speech: one connection for a session, and a context for each request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import anyio
import pytest
from cartesia_server import SPOKEN, Cartesia, cartesia

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins.session import Secret
from rtvi_plugins_cartesia import tts as tts_module
from rtvi_plugins_cartesia.tts import RATE, CartesiaTTS, cartesia_tts, speech
from rtvi_plugins_vendor.provider_tests import one_by_one, tone
from rtvi_plugins_vendor.testing import Answer, FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
WORD = tone(SPOKEN, RATE)
#: How long a request may take, in seconds.
PATIENCE = 10.0


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Cartesia, CartesiaTTS]]:
    """Run a fake, and open a provider that uses it."""
    async with cartesia() as fake, cartesia_tts(KEY, base_url=fake.vendor.url, timeout=2.0) as tts:
        speech(tts)
        yield fake, tts


async def said(tts: CartesiaTTS, *items: str, language: str | None = None) -> list[TTSPiece]:
    """Return all pieces of a request."""
    return [piece async for piece in tts.synthesize(TTSRequest(one_by_one(*items), language))]


def pcm(pieces: list[TTSPiece]) -> bytes:
    """Return the audio."""
    return b"".join(each.data for each in pieces if isinstance(each, Audio))


def words(pieces: list[TTSPiece]) -> list[tuple[str, float]]:
    """Return the words with their times."""
    return [(each.text, round(each.start, 3)) for each in pieces if isinstance(each, Word)]


async def test_requests_share_a_connection() -> None:
    """Each request has a context, to which its sentences are added."""
    async with opened() as (fake, tts):
        pieces = await said(tts, "Good morning.", "Bye!")
        assert pcm(pieces) == WORD * 3
        assert words(pieces) == [("Good", 0.0), ("morning.", 0.1), ("Bye!", 0.2)]
        assert pieces[-1] == Usage(characters=17, model="sonic-3.5")
        assert words(await said(tts, "And another.")) == [("And", 0.0), ("another.", 0.1)]
    (request,) = fake.vendor.requests
    assert request.headers["authorization"] == "Bearer key-of-a-test"
    assert request.headers["cartesia-version"] == "2026-08-14"
    sent = [(each["transcript"], each["continue"]) for each in request.messages]
    assert sent == [("Good morning. ", True), ("Bye! ", True), ("", False), ("And another. ", True), ("", False)]
    contexts = [each["context_id"] for each in request.messages]
    assert contexts[0] == contexts[1] == contexts[2] != contexts[3] == contexts[4]


async def test_the_options_are_the_vendors() -> None:
    """An option that is not set is not sent. The user's language is a hint; the option has priority."""
    async with opened() as (fake, tts):
        await said(tts, "Hello.", language="de-AT")
        speech(tts, "sonic-3", "my-voice", "fr", 1.2, 0.8, "calm", "dict", 200, {"save": True})
        await said(tts, "Hello.", language="de")
    first, second = (
        {name: value for name, value in each.items() if name not in ("context_id", "transcript", "continue")}
        for each in fake.vendor.requests[0].messages[::2]
    )
    audio = {
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
        "add_timestamps": True,
    }
    assert first == {
        **audio,
        "model_id": "sonic-3.5",
        "voice": {"mode": "id", "id": "9626c31c-bec5-4cca-baa8-f8ba9e84c8bc"},
        "language": "de",
        "max_buffer_delay_ms": 0,
    }
    assert second == {
        **audio,
        "model_id": "sonic-3",
        "voice": {"mode": "id", "id": "my-voice"},
        "language": "fr",
        "generation_config": {"speed": 1.2, "volume": 0.8, "emotion": "calm"},
        "pronunciation_dict_id": "dict",
        "max_buffer_delay_ms": 200,
        "save": True,
    }


async def test_an_interruption_cancels_the_context() -> None:
    """The next request uses the same connection."""
    async with opened() as (fake, tts):
        async with aclosing(tts.synthesize(TTSRequest(one_by_one("one two three four")))) as stream:
            await anext(stream)
        assert pcm(await said(tts, "Bye!")) == WORD
    (request,) = fake.vendor.requests
    cancel = next(each for each in request.messages if each.get("cancel"))
    assert cancel == {"context_id": request.messages[0]["context_id"], "cancel": True}


async def test_a_context_that_expires_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The LLM may pause for longer than a second. The times of the words continue."""
    expired, one_request = anyio.Event(), tts_module._Speech  # pyright: ignore[reportPrivateUsage]
    read = one_request.read

    def noted(self: Any, message: dict[str, Any]) -> list[Audio | Word]:
        found = read(self, message)
        if message["type"] == "done":
            expired.set()
        return found

    async def late(*, more: bool) -> AsyncIterator[str]:
        yield "One two."
        await expired.wait()
        if more:
            yield "Three."

    monkeypatch.setattr(one_request, "read", noted)
    async with opened() as (fake, tts):
        fake.expires = "at once"
        for more in (True, False):
            expired = anyio.Event()
            pieces = [piece async for piece in tts.synthesize(TTSRequest(late(more=more)))]
            assert words(pieces) == [("One", 0.0), ("two.", 0.1), ("Three.", 0.2)][: 3 if more else 2]
            assert isinstance(pieces[-1], Usage)


@pytest.mark.parametrize("late_texts", ["refused", "lost", "spoken"])
async def test_a_text_that_comes_too_late_for_its_context_is_said_in_the_next(
    late_texts: Literal["refused", "lost", "spoken"],
) -> None:
    """The text and the end of the context cross. Cartesia does not say what becomes of the text."""
    heard = anyio.Event()

    async def late() -> AsyncIterator[str]:
        nonlocal heard
        for text in ("One two.", "Three.", "four."):
            yield text
            await heard.wait()
            heard = anyio.Event()

    async with opened() as (fake, tts):
        fake.expires, fake.late_texts = "before the next text", late_texts
        pieces: list[TTSPiece] = []
        with anyio.fail_after(PATIENCE):
            async for piece in tts.synthesize(TTSRequest(late())):
                pieces.append(piece)
                if isinstance(piece, Word) and piece.text.endswith("."):
                    heard.set()
        assert words(pieces) == [("One", 0.0), ("two.", 0.1), ("Three.", 0.2), ("four.", 0.3)]
        assert (pcm(pieces), pieces[-1]) == (WORD * 4, Usage(characters=19, model="sonic-3.5"))
        assert words(await said(tts, "Bye.")) == [("Bye.", 0.0)]


@pytest.mark.parametrize("last", ["Two.", "..."])
async def test_a_last_text_that_comes_too_late_is_said(last: str) -> None:
    """The end of the request crosses too. A text that has no sound is not sent for ever."""
    heard = anyio.Event()

    async def late() -> AsyncIterator[str]:
        yield "One."
        await heard.wait()
        yield last

    async def speak(socket: FakeSocket) -> None:
        async for message in socket:
            context, text = message["context_id"], message["transcript"].strip()
            about = {"context_id": context, "done": False}
            if text != "..." and (context.endswith(".2") or text == "One."):
                await socket.send({"type": "chunk", "data": b64encode(WORD).decode(), **about})
            if not message["continue"]:
                await socket.send({"type": "done", "context_id": context, "done": True})

    async with opened() as (fake, tts):
        fake.vendor.on("/tts/websocket", speak)
        pieces: list[TTSPiece] = []
        with anyio.fail_after(PATIENCE):
            async for piece in tts.synthesize(TTSRequest(late())):
                pieces.append(piece)
                heard.set()
        assert pcm(pieces) == WORD * (1 if last == "..." else 2)
    sent = [(each["transcript"], each["continue"]) for each in fake.vendor.requests[0].messages]
    assert sent == [("One. ", True), (f"{last} ", True), ("", False), (f"{last} ", False)]


async def test_a_message_may_have_no_times() -> None:
    """According to the SDK, `word_timestamps` may be absent or null. The audio is played anyway."""

    async def speak(socket: FakeSocket) -> None:
        about = {"context_id": (await anext(socket))["context_id"]}
        await socket.send({"type": "chunk", "data": b64encode(WORD).decode(), "done": False, **about})
        await socket.send({"type": "timestamps", "done": False, **about})
        await socket.send({"type": "timestamps", "word_timestamps": None, "done": False, **about})
        await socket.send({"type": "done", "done": True, **about})
        async for _ in socket:
            pass

    async with opened() as (fake, tts):
        fake.vendor.on("/tts/websocket", speak)
        pieces = await said(tts, "Hello.")
    assert (pcm(pieces), words(pieces)) == (WORD, [])


async def test_an_error_of_a_context_that_speaks_is_one() -> None:
    """Only a refusal of a text that may have come too late is none."""

    async def fail(socket: FakeSocket) -> None:
        first = await anext(socket)
        about = {"context_id": first["context_id"]}
        await socket.send({"type": "chunk", "data": b64encode(WORD).decode(), "done": False, **about})
        await socket.send({**ERROR, "status_code": 400, **about})
        async for _ in socket:
            pass

    async with opened() as (fake, tts):
        fake.vendor.on("/tts/websocket", fail)
        with pytest.raises(ProviderError, match="did not accept"):
            await said(tts, "Hello.")


async def test_nothing_to_say() -> None:
    """No request is sent to Cartesia."""
    async with opened() as (fake, tts):
        assert await said(tts, " ", "") == []
    assert fake.vendor.requests == []


ERROR = {"type": "error", "done": True, "title": "key-of-a-test", "message": "key-of-a-test"}


@pytest.mark.parametrize(
    ("message", "code", "category"),
    [
        ({**ERROR, "status_code": 400}, None, "bad-request"),
        ({**ERROR, "status_code": 402}, None, "quota"),
        ({**ERROR, "status_code": 429}, None, "rate"),
        (ERROR, None, "unavailable"),
        ({"type": "chunk"}, None, "unavailable"),
        ({"type": "chunk", "context_id": 5}, None, "unavailable"),
        ({"type": "unknown"}, 1008, "bad-request"),
        ({"type": "unknown"}, 1000, "unavailable"),
    ],
)
async def test_failures(
    message: dict[str, object], code: int | None, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    """These are messages of the type `error`, with or without a context, and close codes."""

    async def fail(socket: FakeSocket) -> None:
        first = await anext(socket)
        await socket.send(
            {**message, "context_id": first["context_id"]} if message.get("status_code") == 400 else message
        )
        if code is not None:
            await socket.close(code)
        async for _ in socket:
            pass

    async with opened() as (fake, tts):
        fake.vendor.on("/tts/websocket", fail)
        with pytest.raises(ProviderError) as failed:
            await said(tts, "Hello.")
    assert failed.value.category == category
    assert "key-of" not in str(failed.value)
    assert caplog.records == []


async def test_the_key_is_checked() -> None:
    """The check is made before the first call, by a request that costs nothing."""
    async with opened() as (fake, tts):
        fake.vendor.on("/voices", Answer(json=[]), Answer(401))
        await tts.check_key()
        with pytest.raises(ProviderError, match="cartesia"):
            await tts.check_key()
    assert fake.vendor.requests[0].headers["cartesia-version"] == "2026-08-14"
