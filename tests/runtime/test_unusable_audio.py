"""Audio that cannot be used is reported once for each reason, with what to do. The session continues."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rtvi_plugins import Session, bot
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import Listener
from rtvi_plugins.voice import resampling

from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

FRAME = b"\1\0" * 320


class Ear(Listener):
    """A listener that keeps its audio, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard = 0
        self.error = error

    def hear(self, audio: Audio) -> None:
        self.heard += 1
        if self.error is not None:
            raise self.error

    def microphone(self, enabled: bool) -> None:
        if self.error is not None:
            raise self.error


ears = [Ear()]


@bot(services={}, public=True)
async def listening(session: Session, /) -> None:
    """A bot whose listener is that of the test."""
    with session.listening(ears[0]):
        async for _ in session.inputs():
            pass


@contextmanager
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Import as if the extra `voice` were not installed."""
    monkeypatch.delitem(sys.modules, "rtvi_plugins.voice.resampling", raising=False)
    monkeypatch.setitem(sys.modules, "soxr", None)
    yield
    monkeypatch.undo()


def hearing(error: Exception | None = None, **how: Any) -> Any:
    """A session with audio. Its client is ready."""
    ears[:] = [Ear(error)]
    return connected(listening, audio=16_000, **how)


async def send(wire: Wire, audio: Audio, times: int = 50) -> None:
    """Send frames for a second."""
    for _ in range(times):
        wire.connection.receive_audio(audio)
        wire.clock.advance(0.02)
    await settle()


def errors(wire: Wire) -> list[str]:
    """The messages of the errors that the client has received."""
    found = wire.data_of("error")
    assert all((each["code"], each["fatal"]) == ("unusable-audio", False) for each in found)
    return [each["message"] for each in found]


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (16_000, 2), (8_000, 2)])
async def test_without_the_resampler_the_client_is_told_once_what_to_install(
    rate: int, channels: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has it once too. Audio that needs no resampler is still heard."""
    with not_installed(monkeypatch), caplog.at_level(logging.WARNING, "rtvi_plugins"):
        async with hearing() as wire:
            await send(wire, Audio(FRAME, rate, channels))
            (message,) = errors(wire)
            assert 'run: pip install ".[voice]". Or send 16000 Hz, mono.' in message
            assert f"{rate} Hz" in message
            assert len(caplog.messages) == 1
            assert 'pip install ".[voice]"' in caplog.text
            assert ears[0].heard == 0
            await send(wire, Audio(FRAME, 16_000), 3)
            assert ears[0].heard == 3


async def test_the_resampler_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed import takes time, and fifty frames come in a second."""
    looked = list[str]()

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "rtvi_plugins.voice.resampling":
                looked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with not_installed(monkeypatch):
        async with hearing() as wire:
            await send(wire, Audio(FRAME, 48_000))
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        (Audio(FRAME, 0), "0 Hz"),
        (Audio(FRAME, 16_000, 0), "0 channels"),
        (Audio(FRAME + b"\1", 16_000), "641 bytes"),
        (Audio(FRAME + b"\1\0", 16_000, 2), "642 bytes"),
    ],
)
async def test_audio_of_a_form_that_there_is_not_is_reported_once(
    audio: Audio, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The report says what is wrong."""
    with caplog.at_level(logging.WARNING, "rtvi_plugins"):
        async with hearing() as wire:
            await send(wire, audio)
            (message,) = errors(wire)
            assert says in message
            assert len(caplog.messages) == 1


async def test_one_rate_too_many_is_reported_once() -> None:
    """The first four rates are heard."""
    async with hearing() as wire:
        for rate in (8_000, 22_050, 24_000, 44_100, 48_000, 96_000):
            await send(wire, Audio(FRAME, rate), 20)
        (message,) = errors(wire)
        assert "48000 Hz" in message


async def test_a_resampler_that_fails_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The report is one log line and one error."""

    def fail(*_: object) -> None:
        raise ValueError("no such rate")

    monkeypatch.setattr(resampling, "Resampler", fail)
    async with hearing() as wire:
        await send(wire, Audio(FRAME, 48_000))
        (message,) = errors(wire)
        assert "48000 Hz" in message
        assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
            "the resampler raised ValueError"
        ]


async def test_a_listener_that_fails_is_reported_once_and_hears_on(caplog: pytest.LogCaptureFixture) -> None:
    """Fifty reports in a second would fill the log."""
    async with hearing(ValueError("of the bot's")) as wire:
        await send(wire, Audio(FRAME, 16_000))
        wire.connection.microphone(False)
        await settle()
        assert len(errors(wire)) == 1
        assert ears[0].heard == 50
        assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
            "the listener raised ValueError"
        ]


async def test_several_reasons_are_each_reported() -> None:
    """Each reason has one error."""
    async with hearing() as wire:
        for _ in range(3):
            await send(wire, Audio(FRAME, 0), 5)
            await send(wire, Audio(FRAME + b"\1", 16_000), 5)
            wire.connection.refuse_audio("The transport cannot read it.")
            await settle()
        assert len(errors(wire)) == 3


async def test_a_session_that_cannot_be_recorded_without_the_resampler_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The bot's audio has another rate than the recording."""
    ears[:] = [Ear()]
    with not_installed(monkeypatch):
        async with connected(listening, audio=24_000, record=tmp_path) as wire:
            await send(wire, Audio(FRAME, 16_000))
            assert not wire.connection.closed
            assert ears[0].heard == 50
            assert "is not recorded" in caplog.text
            assert 'pip install ".[voice]"' in caplog.text
