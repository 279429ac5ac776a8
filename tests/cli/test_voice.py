"""`rtvi console --voice`, with a fake of the library for the devices: the test machines have no sound card."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from attrs import define, field

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.cli.sound import Speaker, microphone_and_speaker
from rtvi_plugins.kinds import Audio

DEVICES = Path(__file__).parent / "devices"
COMMAND = [sys.executable, "-m", "rtvi_plugins", "console", f"{__file__}:parrot", "--voice"]


@bot(
    services={"llm": "echo", "stt": "echo", "tts": "echo", "vad": "echo"},
    config={"stt": {"script": ["Book a room."]}},
    public=True,
)
async def parrot(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that repeats what you say."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of the console, with the fake of the library."""
    return {**os.environ, "PYTHONPATH": str(DEVICES), "PLAYED": str(folder / "played"), "PYTHONUNBUFFERED": "1", **more}


def seconds_played(folder: Path) -> float:
    """Return the length of the bot's tones. Almost all of their samples are loud."""
    played = folder / "played"
    data = played.read_bytes() if played.exists() else b""
    return sum(1 for each in array("h", data[: len(data) // 2 * 2]) if each) / 24_000


@pytest.mark.slow
def test_speech_into_the_microphone_is_answered_by_the_speaker(tmp_path: Path) -> None:
    """The transcript and the answer are printed. Typed lines are answered aloud too."""
    pipe = subprocess.PIPE
    with subprocess.Popen(COMMAND, env=environment(tmp_path), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(3)]
        while seconds_played(tmp_path) < 0.25:  # the answer has been heard almost to its end
            time.sleep(0.05)
        time.sleep(0.3)
        process.stdin.write("Thank you.\n")
        process.stdin.close()
        shown += process.stdout.readlines()
        assert process.wait(30) == 0
    assert shown == [
        "Speak, or type. Use headphones: without them, the bot hears itself.\n",
        "you: Book a room.\n",
        "Book a room.\n",
        "Thank you.\n",
    ]
    assert 0.45 <= seconds_played(tmp_path) <= 0.5, "the tones of five words"


@pytest.mark.slow
def test_a_machine_without_devices_is_a_failure(tmp_path: Path) -> None:
    """The error has the text of PortAudio, and the exit code is 1."""
    done = subprocess.run(
        COMMAND, env=environment(tmp_path, NO_DEVICE="1"), input="", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "rtvi: The microphone and the speaker cannot be opened: Error querying device -1\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("raise ModuleNotFoundError", 'run: pip install ".[microphone]"'),
        ("raise OSError('PortAudio library not found')", "apt-get install libportaudio2"),
    ],
)
def test_a_missing_requirement_is_reported_with_how_to_install_it(tmp_path: Path, source: str, sentence: str) -> None:
    """It is reported before the bot starts."""
    (tmp_path / "sounddevice.py").write_text(source)
    env = environment(tmp_path, PYTHONPATH=str(tmp_path))
    done = subprocess.run(COMMAND, env=env, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr


@define
class Devices:
    """Devices whose close waits for a running callback, as those of PortAudio do."""

    closed: list[bool] = field(factory=list[bool])

    def RawOutputStream(self, **options: Any) -> AbstractContextManager[object]:  # noqa: N802 - the name in sounddevice
        return nullcontext()

    @contextmanager
    def RawInputStream(self, *, callback: Callable[..., None], **options: Any) -> Generator[None]:  # noqa: N802
        yield
        begun = Thread(target=callback, args=(bytes(640), 320, None, None), daemon=True)
        begun.start()
        begun.join(10)
        self.closed.append(not begun.is_alive())


@pytest.mark.anyio
async def test_the_microphone_can_be_closed_while_it_has_audio() -> None:
    """The audio needs the event loop, so the close must not block it."""
    devices, heard = Devices(), list[Audio]()
    async with microphone_and_speaker(devices, Speaker(), heard.append):
        pass
    assert devices.closed == [True]


def test_an_interruption_discards_what_waits() -> None:
    """The device gets silence when no audio waits."""
    speaker = Speaker()
    speaker.play(Audio(b"\1\0\2\0", 24_000))
    assert speaker.take(2) == b"\1\0"
    speaker.discard()
    speaker.play(Audio(b"\3\0", 24_000))
    assert speaker.take(4) == b"\3\0\0\0"
