"""Start a session with a bot in this process, and connect a client to it, or a user who speaks in tones.

The user speaks on a clock that the test moves.

The module has more than 300 lines because sessions with and without audio are connected in the same way.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from ..client import Client
from ..declare.specs import AnyFunction
from ..hosting import Connection, ConnectionStream, Host, Limits
from ..kinds import Audio
from ..loading import bot_spec
from ..protocol.codec import encode
from ..protocol.operator_fields import key_variable
from ..registry.grants import known_names
from ..registry.installed_plugins import Installed
from ..resuming import SessionStore
from ..runtime.action_threads import action_threads
from ..runtime.system_clock import ManualClock
from ..session import Secret, Session
from .fake_providers import check_fakes, with_fakes_of

__all__ = (
    "RATE",
    "SECRET",
    "Line",
    "SessionClient",
    "call",
    "connect",
    "host_for",
    "play",
    "seconds_heard",
    "settle",
    "silence",
    "speak",
    "wait",
)

#: The operator's secret of the hosts of this module.
SECRET = "secret-of-a-test-operator"

#: The sample rate of the clients of this module, in Hz.
RATE: Final = 16_000


def host_for(
    bot: AnyFunction,
    *modules: ModuleType,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
    plugins: Sequence[str] = (),
    record: str | os.PathLike[str] | None = None,
    api_keys: Mapping[str, str | Mapping[str, str]] | None = None,
    environ: Mapping[str, str] | None = None,
    store: SessionStore | None = None,
) -> Host:
    """Return a host for tests. Providers come from `modules`, then from the bot's own, then from the installed ones.

    `api_keys` are its only API keys, by provider or lifespan: `{"acme": "key-of-a-test"}`, or
    `{"acme": {"api_key": "…", "region_key": "…"}}`. Raise `ValueError` for a key that nothing needs. `environ` has
    more environment variables. Raise `ValueError` too for a fake of `fake_provider` that the bot does not use.
    """
    keys = {taker: {"api_key": given} if isinstance(given, str) else given for taker, given in (api_keys or {}).items()}
    variables = {key_variable(taker, name): key for taker, named in keys.items() for name, key in named.items()}
    bot_spec(bot)  # its error comes first
    installed = installed or Installed()
    modules = with_fakes_of(bot, modules, installed)
    host = Host(
        bot,
        modules=modules,
        plugins=plugins,
        record=record,
        installed=installed,
        limits=limits,
        clock=clock,
        dev=dev,
        environ={**(environ or {}), **variables},
        operator_secret=Secret(SECRET),
        store=store,
    )
    check_fakes(modules, host.registry)
    _check_keys(keys, host)
    return host


def _check_keys(keys: Mapping[str, Mapping[str, str]], host: Host) -> None:
    """Raise `ValueError` for a key that no provider and no lifespan of the bot takes."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for service in host.registry.services.values():
        for label, provider in service.providers.items():
            known[label] |= {each.name for each in provider.spec.secrets}
    for spec in host.registry.lifespans.specs:
        known[spec.name] |= {each.name for each in spec.secrets}
    for taker, named in keys.items():
        if taker not in known:
            raise ValueError(f"api_keys= names {taker!r}. {known_names(taker, known)}")
        for name in named:
            if name not in known[taker]:
                raise ValueError(f"api_keys= gives {taker!r} the key {name!r}. {known_names(name, known[taker])}")


class _Recorded(ConnectionStream):
    """A stream that keeps what comes."""

    def __init__(self, connection: Connection) -> None:
        self.audio: list[Audio] = []
        self.texts: list[str] = []
        super().__init__(connection, self.audio.append)

    async def receive(self) -> str:
        self.texts.append(text := await super().receive())
        return text


class SessionClient(Client):
    """A client of a session in this process."""

    #: The session as the bot sees it, for what no message shows: `client.session.state`, `client.session.context`.
    session: Session
    #: The audio of the bot, if the client is connected with `audio=True`.
    audio: list[Audio]
    _connection: Connection
    _texts: list[str]

    def record(self, connection: Connection, audio: list[Audio], texts: list[str]) -> None:
        """Attach the session. `connect` does this."""
        self.session, self._connection = connection.session, connection
        self.audio, self._texts = audio, texts

    def speak(self, audio: Audio, /) -> None:
        """Send audio from the microphone. The function `speak` sends a tone, and moves the clock.

        Raise `RuntimeError` if the client is connected without `audio=True`.
        """
        if not self.session.hears_audio:
            raise RuntimeError("The client has no microphone. Write connect(…, audio=True).")
        self._connection.receive_audio(audio)

    def received(self, type: str) -> list[Any]:
        """Return the data of all messages of a type that have arrived."""
        messages = map(json.loads, self._texts)
        return [each.get("data") for each in messages if each.get("type") == type]


@asynccontextmanager
async def connect(
    bot: AnyFunction,
    *modules: ModuleType,
    services: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | Sequence[Any] | None = None,
    api_keys: Mapping[str, str | Mapping[str, str]] | None = None,
    operator: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    version: str = "2.1.0",
    timeout: float = 10.0,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
    plugins: Sequence[str] = (),
    record: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    store: SessionStore | None = None,
    audio: bool = False,
) -> AsyncGenerator[SessionClient]:
    """Start a session with a bot and connect a client to it, in this process.

    `services` and `config` come from the client, and are checked against the bot's grants. `operator` (service options,
    defaults, grants) comes from the operator. `request` has more fields of the start request, as in
    `session.start_data`. `api_keys` and `environ` are as for `host_for`, `plugins` and `record` as for `Host`. The
    client's `session` is the session as the bot sees it. With `audio`, its transport carries audio in both directions:
    16 kHz, mono.

    With a `store` that outlives its process, such as a `SQLiteStore`, leaving the block loses the connection and ends
    the process. Another `connect` with the same store and `request={"resume": token}` continues the session.
    """
    body: dict[str, Any] = {**(request or {}), **(operator or {})}
    if services is not None:
        body["services"] = dict(services)
    if config is not None:
        body["config"] = config
    host = host_for(
        bot,
        *modules,
        installed=installed,
        limits=limits,
        clock=clock,
        dev=dev,
        plugins=plugins,
        record=record,
        api_keys=api_keys,
        environ=environ,
        store=store,
    )
    async with host:
        started = await host.start(body, secret=SECRET)
        connection = host.claim(started.token)
        if audio:
            connection.open_audio(RATE)
        stream = _Recorded(connection)
        async with SessionClient.connected(stream, version=version, timeout=timeout) as client:
            client.record(connection, stream.audio, stream.texts)
            yield client


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

    Wait for each thread for at most a second of real time.
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
    """Send audio from the microphone, and move the clock as if it were recorded meanwhile.

    Raise `ValueError` if the session has another clock.
    """
    session: Session | None = None
    if isinstance(line, SessionClient):
        session = line.session
    elif isinstance(line, Line):
        session = line.connection.session
    if session is not None and session.clock is not clock:
        raise ValueError("The session has another clock. Give it this one, as in connect(…, clock=clock).")
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
