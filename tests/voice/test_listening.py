"""An STT that recognises a whole session over one connection: `listen` beside `transcribe`."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    ListeningSTT,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    Text,
    Transcript,
    Usage,
)

from ..fakes.conversation import failures, later, said, silence, speak, spoken, texts
from ..fakes.providers import LINES, NOISE, FakeListeningSTT, Fakes, FakeSTT
from ..fakes.wire import Wire, settle

pytestmark = pytest.mark.anyio

#: The number of steps of the longer random conversation. `nox -s soak` makes a thousand.
MANY = int(os.environ.get("SOAK_INTERRUPTIONS", "200"))


async def say(wire: Wire, line: int) -> None:
    """Let the user say a line, and wait until it is recognised."""
    await speak(wire, line, 0.4)
    await silence(wire, 0.7)


async def switch(wire: Wire, provider: str) -> None:
    """Let the client choose another STT."""
    wire.send("update-config", {"config": [{"service": "stt", "options": [{"name": "provider", "value": provider}]}]})
    await settle()


def listening(fakes: Fakes, request: ListenRequest) -> aclosing[AsyncGenerator[ListenPiece]]:
    """The pieces that the STT `script` yields, until the block ends."""
    return aclosing(cast("AsyncGenerator[ListenPiece]", fakes.listen_as("script")(request)))


def user_texts(messages: list[tuple[str, str]]) -> list[str]:
    """The user's texts in the context."""
    return [text for role, text in messages if role == "user"]


def test_only_an_stt_with_listen_is_one_that_can_listen() -> None:
    """Other STTs are used as before."""
    fakes = Fakes()
    plain = FakeSTT(fakes.transcribe_as("script"))
    assert not isinstance(plain, ListeningSTT)
    assert isinstance(FakeListeningSTT(plain.do, fakes.listen_as("script")), ListeningSTT)


async def test_one_connection_recognises_all_utterances() -> None:
    """It is opened before the user speaks, and closed when the session ends."""
    fakes = Fakes([Text("Fine.")], [Text("Noon.")], listens=True)
    async with fakes.session() as wire:
        assert fakes.begun["listen"] == 1
        await say(wire, 1)
        await silence(wire, 1.0)
        await say(wire, 2)
        await silence(wire, 1.0)
        conversation = [
            ("user", "hello there"),
            ("assistant", "Fine."),
            ("user", "what time is it"),
            ("assistant", "Noon."),
        ]
        assert await said(wire) == conversation
        assert texts(wire.data_of("user-transcription")) == ["hello", "hello there", "what", "what time is it"]
        assert (fakes.begun["listen"], fakes.ended["listen"], fakes.begun["stt"]) == (1, 0, 0)
    assert fakes.ended["listen"] == 1


async def test_each_utterance_is_followed_by_a_pause() -> None:
    """The next utterance begins when the pause is answered. Nothing comes between them."""
    heard = list[str]()

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        async for piece in request.audio:
            heard.append("pause" if isinstance(piece, Pause) else "audio")
            if isinstance(piece, Audio):
                assert (len(piece.data), piece.rate, piece.channels) == (1024, 16_000, 1)
                continue
            if heard.count("pause") == 1:
                await fakes.gate.wait()
            yield Transcript("yes", final=True)
            yield Usage(seconds=1.0)
            yield Settled()

    fakes = Fakes([Text("Fine.")], listens=listen)
    async with fakes.session() as wire:
        await say(wire, 1)
        await say(wire, 2)
        assert heard[-1] == "pause"
        assert heard.count("pause") == 1
        fakes.gate.set()
        await settle()
        assert heard[-1] == "pause"
        assert heard.count("pause") == 2
        await silence(wire, 1.0)
        assert user_texts(await said(wire)) == ["yes yes"]
        assert [each["seconds"][0]["value"] for each in wire.data_of("metrics") if "seconds" in each] == [1.0, 1.0]


async def test_a_noise_is_settled_without_a_transcript() -> None:
    """The LLM is not asked."""
    fakes = Fakes(listens=True)
    async with fakes.session() as wire:
        await say(wire, NOISE)
        await silence(wire, 1.0)
        assert (await said(wire), fakes.requests) == ([], [])


async def test_a_connection_that_breaks_is_opened_again_with_the_utterance() -> None:
    """The user does not notice."""
    attempts = 0

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        nonlocal attempts
        attempts += 1
        breaks = attempts == 1
        async with listening(fakes, request) as pieces:
            async for piece in pieces:
                if breaks and isinstance(piece, Transcript):
                    raise ProviderError("script", "unavailable", retryable=True)
                yield piece

    fakes = Fakes([Text("Fine.")], listens=listen)
    async with fakes.session() as wire:
        await say(wire, 1)
        await silence(wire, 1.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        assert (attempts, failures(wire)) == (2, [])


async def test_a_connection_that_ends_between_two_utterances_is_opened_for_the_next() -> None:
    """Vendors close connections that are idle."""
    connections = 0

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        nonlocal connections
        connections += 1
        async with listening(fakes, request) as pieces:
            async for piece in pieces:
                yield piece
                if isinstance(piece, Settled):
                    return

    fakes = Fakes([Text("Fine.")], [Text("Noon.")], listens=listen)
    async with fakes.session() as wire:
        for line in (1, 2):
            await say(wire, line)
            await silence(wire, 1.0)
        assert user_texts(await said(wire)) == ["hello there", "what time is it"]
        assert (connections, failures(wire)) == (2, [])


async def test_an_stt_that_fails_for_good_is_reported_and_the_next_utterance_is_heard() -> None:
    """As with `transcribe`, the bot apologises and opens a new connection."""
    fakes = Fakes([Text("Fine.")], listens=True)
    fakes.errors["stt"] = ProviderError("script", "auth")
    async with fakes.session() as wire:
        await say(wire, 1)
        await silence(wire, 6.0)
        assert failures(wire) == [str(ProviderError("script", "auth"))]
        assert spoken(wire).startswith("I am sorry")
        fakes.errors.clear()
        await say(wire, 2)
        await silence(wire, 1.0)
        assert user_texts(await said(wire)) == ["what time is it"]


async def test_a_pause_that_is_not_answered_ends_the_connection() -> None:
    """A late transcript must not belong to another utterance."""
    connections = 0

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        nonlocal connections
        connections += 1
        is_stuck = connections == 1
        async with listening(fakes, request) as pieces:
            async for piece in pieces:
                if is_stuck and isinstance(piece, Settled):
                    await anyio.sleep_forever()
                yield piece

    fakes = Fakes([Text("Fine.")], listens=listen)
    async with fakes.session() as wire:
        await say(wire, NOISE)
        await later(wire, 20.0)
        assert failures(wire) == [str(ProviderError("The STT", "timeout"))]
        await silence(wire, 4.0)
        await say(wire, 2)
        await silence(wire, 1.0)
        assert user_texts(await said(wire)) == ["what time is it"]
        assert connections == 2


@pytest.mark.parametrize("piece", ["a text", None, 3])
async def test_a_wrong_piece_is_reported_to_its_author(piece: object, caplog: pytest.LogCaptureFixture) -> None:
    """The report has the valid pieces, and the line of the function."""

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        async for _ in request.audio:
            yield piece  # type: ignore[misc]  # pyright: ignore[reportReturnType]

    fakes = Fakes(listens=listen)
    async with fakes.session() as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await say(wire, 1)
            await silence(wire, 2.0)
        assert failures(wire)
    (logged,) = caplog.messages
    assert "listen() yielded" in logged
    assert __file__ in logged


async def test_an_stt_that_is_replaced_while_the_user_speaks_loses_nothing() -> None:
    """The next one hears the utterance from its beginning."""
    fakes = Fakes([Text("Fine.")], listens=True)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.3)
        await switch(wire, "second")
        await speak(wire, 2, 0.3)
        await silence(wire, 2.0)
        assert user_texts(await said(wire)) == ["hello there what time is it"]
        assert fakes.stts == ["script", "second"]


@pytest.mark.parametrize("steps", [50, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_nothing_is_lost_or_stale_after_random_interruptions_and_switches(steps: int) -> None:
    """Each line of the user is in the context once, and in order. The streams of all vendors are closed."""
    dice, provider, lines = random.Random(steps), "script", list[int]()
    breaks = list[ProviderError]()

    async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        async with listening(fakes, request) as pieces:
            async for piece in pieces:
                if breaks and isinstance(piece, Transcript) and piece.final:
                    raise breaks.pop()
                yield piece

    fakes = Fakes(*([Text("A sentence. And another one.")] for _ in range(4 * steps)), listens=listen)
    async with fakes.session() as wire:
        for _ in range(steps):
            line = dice.choice([each for each in range(1, len(LINES)) if [each] != lines[-1:]])
            lines.append(line)
            await speak(wire, line, dice.choice([0.3, 0.5]))
            match dice.choice(["switch", "fail", "noise", "interrupt", "listen", "go on"]):
                case "switch":
                    provider = "second" if provider == "script" else "script"
                    await switch(wire, provider)
                case "fail":
                    breaks.append(ProviderError("script", "unavailable", retryable=True))
                    await silence(wire, 0.6)
                case "noise":
                    await silence(wire, 0.7)
                    await speak(wire, NOISE, 0.3)
                case "interrupt":
                    await silence(wire, 0.8)
                    wire.call("tts:interrupt")
                case "listen":
                    await silence(wire, 2.5)
                case _:
                    pass
            await silence(wire, dice.choice([0.6, 0.7, 1.0]))
        await silence(wire, 4.0)
        heard = " ".join(user_texts(await said(wire)))
        assert heard == " ".join(LINES[line] for line in lines)
        assert failures(wire) == []
        assert fakes.begun["listen"] - fakes.ended["listen"] == 1
    assert fakes.begun["listen"] == fakes.ended["listen"]
    assert fakes.begun["llm"] == fakes.ended["llm"]
    assert fakes.begun["tts"] == fakes.ended["tts"]
