import json
import wave
from pathlib import Path

import pytest
from rtvi_plugins.hosting import Host
from rtvi_plugins.session import Secret
from rtvi_plugins.testing import ManualClock, call, host_for, silence, speak, wait

import fake_speech
from bot import hotline

pytestmark = pytest.mark.anyio


async def test_a_recording_has_two_files(tmp_path: Path) -> None:
    """They are a transcript, and an audio file with both sides."""
    folder = tmp_path / "recordings"
    clock = ManualClock()
    fake_speech.lines.extend(["My name is Ada."])
    host = Host(
        hotline, modules=[fake_speech], clock=clock, operator_secret=Secret("secret-of-a-test-operator"), record=folder
    )
    async with host, call(host, secret="secret-of-a-test-operator") as line:
        while not line.received("bot-started-speaking"):
            await wait(clock, 0.02)
        await wait(clock, 2.0)
        await speak(line, clock, 1.0)
        await silence(line, clock, 2.0)
        session = line.connection.id

    said = [json.loads(each) for each in (folder / f"{session}.jsonl").read_text("utf-8").splitlines()]
    assert [(each["role"], each["text"]) for each in said] == [
        ("assistant", "This call is recorded. Hang up if you do not want that."),
        ("user", "My name is Ada."),
        ("assistant", "Nice to meet you, Ada."),
    ]
    assert {tuple(each) for each in said} == {("at", "role", "text", "interrupted")}

    with wave.open(str(folder / f"{session}.wav")) as audio:
        assert (audio.getnchannels(), audio.getframerate(), audio.getsampwidth()) == (2, 16_000, 2)
        assert audio.getnframes() / 16_000 > 4.0


async def test_the_user_cannot_interrupt_the_notice() -> None:
    """The bot says the notice to its end."""
    clock = ManualClock()
    fake_speech.lines.extend(["Hello."])
    async with host_for(hotline, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        while not line.received("bot-started-speaking"):
            await wait(clock, 0.02)
        await speak(line, clock, 0.5)
        await silence(line, clock, 3.0)
        assert line.received("bot-interrupted") == []


async def test_nothing_is_recorded_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a folder writes nothing."""
    monkeypatch.chdir(tmp_path)
    clock = ManualClock()
    async with Host(hotline, modules=[fake_speech], clock=clock, dev=True) as host, call(host):
        await wait(clock, 1.0)
    assert files_in(tmp_path) == []


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder."""
    return list(folder.iterdir())
