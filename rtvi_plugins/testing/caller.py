"""A user who speaks in tones, on a clock that the test moves, and a session of a host with audio."""

from __future__ import annotations

import json
import math
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from ..hosting import Connection, Host
from ..kinds import Audio
from ..protocol.codec import encode
from ..runtime.clock import ManualClock
from ..runtime.threads import action_threads
from .sessions import RATE

__all__ = ("Line", "call", "play", "seconds_heard", "settle", "silence", "speak", "wait")

#: How far the clock moves at once, in seconds: one frame of audio.
_STEP: Final = 0.02
#: From which amplitude on a frame is not silence; 32767 is full scale.
_AUDIBLE: Final = 64
#: How long `settle` waits for one thread, in seconds of real time.
_THREAD_SECONDS: Final = 1.0

#: The uses of threads that `settle` has seen, and when it saw each first.
_seen: anyio.lowlevel.RunVar[dict[object, float]] = anyio.lowlevel.RunVar("uses of threads")


class _AnyLine(Protocol):
    """What the functions need of a line, so that they work with the line of another transport too."""

    audio: list[Audio]

    def speak(self, audio: Audio, /) -> None: ...


@define(eq=False)
class Line:
    """The client's end of a session with audio. It collects the messages and the audio of the bot."""

    connection: Connection
    messages: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])
    audio: list[Audio] = field(factory=list[Audio])

    def send(self, type: str, data: Mapping[str, Any], id: str = "1") -> None:
        """Send an RTVI message."""
        self.connection.receive(encode(type, id, data))

    def speak(self, audio: Audio) -> None:
        """Send audio from the microphone."""
        self.connection.receive_audio(audio)

    def received(self, type: str) -> list[Any]:
        """Return the data of all received messages of a type."""
        return [each.get("data") for each in self.messages if each["type"] == type]

    async def run(self) -> None:
        """Receive from the bot until the session ends. `call` does this."""
        while batch := await self.connection.outgoing():
            for item in batch:
                if isinstance(item, Audio):
                    self.audio.append(item)
                else:
                    self.messages.append(json.loads(item))


@asynccontextmanager
async def call(host: Host, body: object = None, *, secret: str | None = None) -> AsyncGenerator[Line]:
    """Start a session and connect to it, as a client with audio: 16 kHz, mono.

    `body` and `secret` are those of `Host.start`.
    """
    started = await host.start(body, secret=secret)
    connection = host.claim(started.token)
    connection.open_audio(RATE)
    line = Line(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(line.run)
        line.send("client-ready", {"version": "2.1.0"})
        yield line
        connection.disconnected()
        tasks.cancel_scope.cancel()


async def settle() -> None:
    """Let all tasks run until every one of them waits, and all threads until they are done.

    A thread that runs for longer than a second of real time is no longer waited for.
    """
    while True:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        if not _threads_are_busy():
            return
        await anyio.sleep(0.001)  # real time: a thread needs some


def _threads_are_busy() -> bool:
    """Return whether a thread runs that has not been waited for too long."""
    limiters = (anyio.to_thread.current_default_thread_limiter(), action_threads())
    now, before = time.monotonic(), _seen.get(dict[object, float]())
    seen = {each: before.get(each, now) for limiter in limiters for each in limiter.statistics().borrowers}
    _seen.set(seen)
    return any(now - since < _THREAD_SECONDS for since in seen.values())


async def wait(clock: ManualClock, seconds: float) -> None:
    """Let time pass in steps of 20 ms. The client sends nothing, as if its microphone were off."""
    for _ in range(round(seconds / _STEP)):
        clock.advance(_STEP)
        await settle()


async def speak(line: _AnyLine, clock: ManualClock, seconds: float, *, volume: float = 0.3) -> None:
    """Let the user speak: a tone of this length. `volume` is its amplitude, from 0 to 1."""
    step, peak = 2 * math.pi * 440 / RATE, volume * 32767
    samples = array("h", (round(peak * math.sin(step * index)) for index in range(round(seconds * RATE))))
    await play(line, clock, Audio(_little_endian(samples).tobytes(), RATE))


async def silence(line: _AnyLine, clock: ManualClock, seconds: float) -> None:
    """Let the user be silent, with the microphone on."""
    await speak(line, clock, seconds, volume=0.0)


async def play(line: _AnyLine, clock: ManualClock, audio: Audio) -> None:
    """Send audio from the microphone, and move the clock as if it were recorded meanwhile."""
    size = 2 * round(_STEP * audio.rate)
    for at in range(0, len(audio.data), size):
        line.speak(Audio(audio.data[at : at + size], audio.rate))
        clock.advance(_STEP)
        await settle()


def seconds_heard(line: _AnyLine) -> float:
    """Return the length of the bot's audio without silence."""
    return sum(each.seconds for each in line.audio if _is_audible(each))


def _is_audible(audio: Audio) -> bool:
    samples = array("h")
    samples.frombytes(audio.data[: len(audio.data) // 2 * 2])
    return any(abs(each) > _AUDIBLE for each in _little_endian(samples))


def _little_endian(samples: array[int]) -> array[int]:
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    return samples
