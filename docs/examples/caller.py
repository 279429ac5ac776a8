"""Helpers for tests of voice bots: a user who speaks in tones, and a clock that the test moves."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from rtvi_plugins.hosting import ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins_echo.tone import loudness, tone

from transport.memory import Line

STEP = 0.02


async def settle() -> None:
    """Let all tasks run until every one of them waits."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def wait(clock: ManualClock, seconds: float) -> None:
    """Let time pass. The client sends nothing, as if its microphone were off."""
    for _ in range(round(seconds / STEP)):
        clock.advance(STEP)
        await settle()


async def speak(line: Line, clock: ManualClock, seconds: float, *, volume: float = 0.3) -> None:
    """Let the user speak: a tone of this length."""
    await play(line, clock, tone(440, seconds, 16_000, volume))


async def silence(line: Line, clock: ManualClock, seconds: float) -> None:
    """Let the user be silent, with the microphone on."""
    await speak(line, clock, seconds, volume=0.0)


async def play(line: Line, clock: ManualClock, audio: Audio) -> None:
    """Send audio in real time."""
    size = 2 * round(STEP * audio.rate)
    for at in range(0, len(audio.data), size):
        line.speak(Audio(audio.data[at : at + size], audio.rate))
        clock.advance(STEP)
        await settle()


def seconds_heard(line: Line) -> float:
    """Return the length of the bot's audio without silence."""
    return sum(each.seconds for each in line.audio if loudness(each) > 0.001)
