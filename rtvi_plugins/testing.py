"""Test a bot or a provider without a network: a client in memory, a clock that is moved by hand, a contract suite."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio

from .client import Client, open_client
from .declare.bot import bot as declare_bot
from .declare.specs import AnyFunction, ProviderSpec, specs_in
from .hosting import ConnectionStream, Host, Limits
from .registry.installed import Installed
from .runtime.clock import ManualClock
from .session import Secret, Session

__all__ = ("ConnectionStream", "ManualClock", "check_providers", "connect", "host_for")

_SECRET = "the operator's secret of a test"


def host_for(
    bot: AnyFunction,
    *modules: ModuleType,
    installed: Installed | None = None,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    dev: bool = False,
    plugins: Sequence[str] = (),
    record: str | os.PathLike[str] | None = None,
) -> Host:
    """Return a host for tests. Providers come from `modules`, then from the installed ones. It knows no key."""
    return Host(
        bot,
        modules=modules,
        plugins=plugins,
        record=record,
        installed=installed,
        limits=limits,
        clock=clock,
        dev=dev,
        environ={},
        operator_secret=Secret(_SECRET),
    )


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
) -> AsyncGenerator[Client]:
    """Start a session with a bot and connect a client to it, in this process.

    `services` and `config` come from the client, and are checked against the bot's grants. `api_keys` and `operator`
    (service options, defaults, grants) come from the operator.
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


# ---- the contract of providers ---------------------------------------------------------------------------------------


async def check_providers(
    module: ModuleType,
    *,
    api_keys: Mapping[str, Any] | None = None,
    service_options: Mapping[str, Any] | None = None,
) -> None:
    """Check that every provider of a module does what bots rely on. `AssertionError` says what it does not do.

    It opens as its kind and closes, also twice at once and when it is cancelled. It describes itself. Its options can
    be read and sent back unchanged. `api_keys` defaults to a made-up key for each. No vendor is called.
    """
    specs = [spec for spec in specs_in(module) if isinstance(spec, ProviderSpec)]
    assert specs, f"{module.__name__} declares no service"
    for spec in specs:
        keys = {spec.provider: {each.name: "key-of-a-test" for each in spec.secrets}, **(api_keys or {})}
        operator = {"api_keys": keys, "service_options": dict(service_options or {})}
        await _check_provider(spec, module, operator)


async def _check_provider(spec: ProviderSpec, module: ModuleType, operator: Mapping[str, Any]) -> None:
    under_test, name = _bot_around(spec), f"{spec.kind}.{spec.provider}"
    async with connect(under_test, module, operator=operator, dev=True) as client:
        async with connect(under_test, module, operator=operator, dev=True) as second:
            assert (await second.get_config()).values, f"{name} cannot be open twice"
        described = {option["name"] for service in await client.describe_config() for option in service["options"]}
        values = (await client.get_config()).values
        assert set(values["service"]) == described, f"the options that {name} describes are not those that it has"
        updated = await client.update_config({"service": values["service"]})
        assert updated.values == values, f"the options of {name} change when they are sent back as they were read"
    with anyio.move_on_after(10) as patience:
        async with host_for(under_test, module, dev=True) as host:
            await host.start(dict(operator), secret=_SECRET)
    assert not patience.cancelled_caught, f"{name} does not close when the host does"


def _bot_around(spec: ProviderSpec) -> AnyFunction:
    """Return a bot that has one service and does not use it."""

    async def bot_under_test(session: Session, /, service: Any) -> None:
        await anyio.sleep_forever()

    bot_under_test.__annotations__ = {"session": Session, "service": spec.protocol, "return": None}
    return declare_bot(services={"service": spec.provider}, public=True)(bot_under_test)
