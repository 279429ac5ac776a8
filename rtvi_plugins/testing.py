"""Test a bot or a provider without a network: an in-memory client, a clock that stands still, a contract suite."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ObjectStream

from ._clock import ManualClock
from ._plugins import Installed
from ._specs import Function
from .client import Client, open_client
from .hosting import Connection, Host, Limits
from .session import Secret

__all__ = ("ConnectionStream", "ManualClock", "connect", "host_for")

_SECRET = "the operator's secret of a test"


class ConnectionStream(ObjectStream[str]):
    """A session's connection as a stream of texts, for a client in the same process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received: list[str] = []

    async def send(self, item: str) -> None:
        if self._connection.closed:
            raise anyio.BrokenResourceError
        self._connection.receive(item)
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> str:
        if not self._received:
            self._received = list(reversed(await self._connection.outgoing()))
        if not self._received:
            raise anyio.EndOfStream
        return self._received.pop()

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._connection.disconnected()


def host_for(
    bot: Function,
    *modules: ModuleType,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
) -> Host:
    """A host whose bot finds its providers in `modules`, then among what is installed. The environment holds no key."""
    return Host(
        bot,
        modules=modules,
        installed=installed,
        limits=limits,
        clock=clock,
        dev=dev,
        environ={},
        operator_secret=Secret(_SECRET),
    )


@asynccontextmanager
async def connect(
    bot: Function,
    *modules: ModuleType,
    services: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | Sequence[Any] | None = None,
    api_keys: Mapping[str, Any] | None = None,
    operator: Mapping[str, Any] | None = None,
    version: str = "2.1.0",
    timeout: float = 10.0,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
) -> AsyncGenerator[Client]:
    """Start a session with a bot and connect a client to it, all in this process.

    `services` and `config` are the client's words, and are checked against the bot's grants as those of any client;
    `api_keys` and `operator` (service options, defaults, grants) are the operator's.
    """
    body: dict[str, Any] = {"api_keys": dict(api_keys or {}), **(operator or {})}
    if services is not None:
        body["services"] = dict(services)
    if config is not None:
        body["config"] = config
    async with host_for(bot, *modules, installed=installed, limits=limits, clock=clock, dev=dev) as host:
        started = await host.start(body, secret=_SECRET)
        stream = ConnectionStream(host.claim(started.token))
        async with open_client(stream, version=version, timeout=timeout) as client:
            yield client
