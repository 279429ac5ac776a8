"""Start a session with a bot in this process, and connect a client to it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from ..client import Client
from ..declare.specs import AnyFunction
from ..hosting import ConnectionStream, Host, Limits
from ..protocol.operator_fields import key_variable
from ..registry.installed import Installed
from ..runtime.clock import ManualClock
from ..session import Secret, Session

__all__ = ("SECRET", "SessionClient", "connect", "host_for")

#: The operator's secret of the hosts of this module.
SECRET = "the operator's secret of a test"


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

    `api_keys` are the only keys that it knows, by provider: `{"acme": "key-of-a-test"}`, or
    `{"acme": {"api_key": "…", "region_key": "…"}}`. `environ` has more environment variables.
    """
    return Host(
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


def _environ(api_keys: Mapping[str, str | Mapping[str, str]]) -> dict[str, str]:
    """Return the variables in which an operator would store these keys."""
    named = {provider: {"api_key": each} if isinstance(each, str) else each for provider, each in api_keys.items()}
    return {key_variable(provider, name): key for provider, keys in named.items() for name, key in keys.items()}


class SessionClient(Client):
    """A client of a session in this process."""

    #: The session as the bot sees it, for what no message shows: `client.session.state`, `client.session.context`.
    session: Session


@asynccontextmanager
async def connect(
    bot: AnyFunction,
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
    environ: Mapping[str, str] | None = None,
) -> AsyncGenerator[SessionClient]:
    """Start a session with a bot and connect a client to it, in this process.

    `services` and `config` come from the client, and are checked against the bot's grants. `api_keys` and `operator`
    (service options, defaults, grants) come from the operator. `environ` has the environment variables, such as the
    keys of lifespans, which no start request can bring. The client's `session` is the session as the bot sees it.
    """
    body: dict[str, Any] = {"api_keys": dict(api_keys or {}), **(operator or {})}
    if services is not None:
        body["services"] = dict(services)
    if config is not None:
        body["config"] = config
    host = host_for(bot, *modules, installed=installed, limits=limits, clock=clock, dev=dev, environ=environ)
    async with host:
        started = await host.start(body, secret=SECRET)
        connection = host.claim(started.token)
        stream = ConnectionStream(connection)
        async with SessionClient.connected(stream, version=version, timeout=timeout) as client:
            client.session = connection.session
            yield client
