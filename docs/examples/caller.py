"""For the tests of examples that speak: a user who makes tones, on a clock that stands still."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from rtvi_plugins.hosting import ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins_echo.tone import loudness, tone

from transport.memory import Line

STEP = 0.02


async def settle() -> None:
    """Let every task go on until all of them wait for something."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def wait(clock: ManualClock, seconds: float) -> None:
    """Nothing is sent, as by a client whose microphone is off."""
    for _ in range(round(seconds / STEP)):
        clock.advance(STEP)
        await settle()


async def speak(line: Line, clock: ManualClock, seconds: float, *, volume: float = 0.3) -> None:
    """The user makes a tone; what it means is the recogniser's to say."""
    await play(line, clock, tone(440, seconds, 16_000, volume))


async def silence(line: Line, clock: ManualClock, seconds: float) -> None:
    """The user is silent, with the microphone on."""
    await speak(line, clock, seconds, volume=0.0)


async def play(line: Line, clock: ManualClock, audio: Audio) -> None:
    """The user plays this, in real time."""
    size = 2 * round(STEP * audio.rate)
    for at in range(0, len(audio.data), size):
        line.speak(Audio(audio.data[at : at + size], audio.rate))
        clock.advance(STEP)
        await settle()


def seconds_heard(line: Line) -> float:
    """How much of the bot's audio was no silence."""
    return sum(each.seconds for each in line.audio if loudness(each) > 0.001)
