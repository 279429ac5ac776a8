"""Start a session with a bot in this process, and connect a client to it."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

from ..client import Client
from ..declare.specs import AnyFunction
from ..hosting import Connection, ConnectionStream, Host, Limits
from ..kinds import Audio
from ..protocol.operator_fields import key_variable
from ..registry.grants import known_names
from ..registry.installed import Installed
from ..runtime.clock import ManualClock
from ..session import Secret, Session

__all__ = ("RATE", "SECRET", "SessionClient", "connect", "host_for")

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
) -> Host:
    """Return a host for tests. Providers come from `modules`, then from the installed ones.

    `api_keys` are the only keys that it knows, by provider or lifespan: `{"acme": "key-of-a-test"}`, or
    `{"acme": {"api_key": "…", "region_key": "…"}}`. A key that nothing takes is a `ValueError`. `environ` has more
    environment variables.
    """
    host = Host(
        bot,
        modules=modules,
        plugins=plugins,
        record=record,
        installed=installed,
        limits=limits,
        clock=clock,
        dev=dev,
        environ={**(environ or {}), **_environ(api_keys or {})},
        operator_secret=Secret(SECRET),
    )
    _check_keys(api_keys or {}, host)
    return host


def _named(keys: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"api_key": keys} if isinstance(keys, str) else keys


def _environ(api_keys: Mapping[str, str | Mapping[str, str]]) -> dict[str, str]:
    """Return the variables in which an operator would store these keys."""
    return {key_variable(taker, name): key for taker, keys in api_keys.items() for name, key in _named(keys).items()}


def _check_keys(api_keys: Mapping[str, str | Mapping[str, str]], host: Host) -> None:
    """Raise `ValueError` for a key that no provider and no lifespan of the bot takes."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for service in host.registry.services.values():
        for label, provider in service.providers.items():
            known[label] |= {each.name for each in provider.spec.secrets}
    for spec in host.registry.lifespans.specs:
        known[spec.name] |= {each.name for each in spec.secrets}
    for taker, keys in api_keys.items():
        if taker not in known:
            raise ValueError(f"api_keys= names {taker!r}. {known_names(taker, known)}")
        for name in _named(keys):
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
    #: The audio of the bot so far, if the client is connected with `audio=True`.
    audio: list[Audio]
    _connection: Connection
    _texts: list[str]

    def record(self, connection: Connection, audio: list[Audio], texts: list[str]) -> None:
        """Attach the session. `connect` does this."""
        self.session, self._connection = connection.session, connection
        self.audio, self._texts = audio, texts

    def speak(self, audio: Audio, /) -> None:
        """Send audio from the microphone. The function `speak` sends a tone, and moves the clock."""
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
    version: str = "2.1.0",
    timeout: float = 10.0,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
    environ: Mapping[str, str] | None = None,
    audio: bool = False,
) -> AsyncGenerator[SessionClient]:
    """Start a session with a bot and connect a client to it, in this process.

    `services` and `config` come from the client, and are checked against the bot's grants. `operator` (service options,
    defaults, grants) comes from the operator. `api_keys` and `environ` are as for `host_for`. The client's `session` is
    the session as the bot sees it. With `audio`, its transport carries audio in both directions: 16 kHz, mono.
    """
    body: dict[str, Any] = dict(operator or {})
    if services is not None:
        body["services"] = dict(services)
    if config is not None:
        body["config"] = config
    host = host_for(
        bot, *modules, installed=installed, limits=limits, clock=clock, dev=dev, api_keys=api_keys, environ=environ
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
