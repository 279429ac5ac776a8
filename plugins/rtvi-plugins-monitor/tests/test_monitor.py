"""The metrics and the view of a bot's sessions, through the server's app."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from httpx2.websockets import ASGIWebSocketTransport
from prometheus_client.parser import text_string_to_metric_families

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.client import Client
from rtvi_plugins.errors import ProviderError, RequestError
from rtvi_plugins.hosting import ConnectionStream, Host
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Secret
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio
SECRET = "secret-of-a-test"


@bot(services={"stt": "echo", "llm": "echo", "tts": "echo", "vad": "echo"}, client=["bot:fail", "bot:report"])
async def parrot(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Repeats what it hears."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@action(parrot)
async def fail(session: Session, /) -> str:
    """Fail."""
    raise RequestError("This always fails.")


@action(parrot)
async def report(session: Session, /) -> str:
    """Report that a vendor has failed."""
    session.fail(ProviderError("acme", "timeout"))
    return "reported"


@asynccontextmanager
async def serving(
    *, dev: bool = False, store: MemoryStore | None = None
) -> AsyncGenerator[tuple[Host, httpx2.AsyncClient]]:
    """The host of the bot with the plugin, and a client of its routes."""
    host = Host(parrot, plugins=["monitor"], operator_secret=Secret(SECRET), environ={}, dev=dev, store=store)
    transport = ASGIWebSocketTransport(create_app(host))
    async with host, httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
        yield host, http


@asynccontextmanager
async def connected(host: Host) -> AsyncGenerator[Client]:
    """Connect a client in a session of its own, which has ended after the block."""
    started = await host.start(secret=SECRET)
    async with Client.connected(ConnectionStream(host.claim(started.token)), version="2.1.0", timeout=10) as client:
        yield client
        await client.disconnect_bot()
        with anyio.fail_after(5):
            while host.open_sessions:
                await anyio.lowlevel.checkpoint()


async def samples(http: httpx2.AsyncClient) -> Mapping[str, float]:
    """Return all samples of `/metrics`, as Prometheus' own parser reads them, by name and labels."""
    response = await http.get("/metrics", headers={"authorization": f"Bearer {SECRET}"})
    assert response.status_code == 200
    return {
        f"{each.name}{sorted(each.labels.items())}": each.value
        for family in text_string_to_metric_families(response.text)
        for each in family.samples
    }


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the changed samples, without buckets and times. Other tests have counted in this process as well."""
    skipped = re.compile("_bucket|_created|_sum|rtvi_load")
    changes = {name: value - before.get(name, 0.0) for name, value in after.items() if not skipped.search(name)}
    return {name: change for name, change in changes.items() if change}


async def ask(client: Client) -> None:
    """Hold a conversation of one turn, with two actions."""
    assert await client.ask("hello") == "hello"
    assert await client.action("bot:report") == "reported"
    with pytest.raises(RequestError):
        await client.action("bot:fail")


async def test_what_happens_is_counted() -> None:
    """These are starts, sessions, turns, actions and errors, by names that the bot has chosen."""
    async with serving() as (host, http):
        before = await samples(http)
        async with connected(host) as client:
            await ask(client)
            live = grown(before, await samples(http))
        with pytest.raises(RequestError):
            await host.start({"services": {"llm": "none"}}, secret=SECRET)
        after = grown(before, await samples(http))
    assert live["rtvi_sessions_open[]"] == 1
    assert "rtvi_sessions_open[]" not in after
    assert after["rtvi_starts_total[('result', 'ok')]"] == 1
    assert after["rtvi_starts_total[('result', 'unknown-provider')]"] == 1
    assert after["rtvi_start_seconds_count[]"] == 2
    assert after["rtvi_sessions_ended_total[('reason', 'ok')]"] == 1
    assert after["rtvi_turns_total[('end', 'whole')]"] == 1
    assert after["rtvi_actions_total[('action', 'report'), ('result', 'ok'), ('service', 'bot')]"] == 1
    assert after["rtvi_actions_total[('action', 'fail'), ('result', 'request-failed'), ('service', 'bot')]"] == 1
    assert after["rtvi_action_seconds_count[('action', 'report'), ('service', 'bot')]"] == 1
    failure = [("category", "timeout"), ("code", "provider-failed"), ("provider", "acme")]
    assert after[f"rtvi_errors_total[{', '.join(map(str, failure))}]"] == 1
    assert after["rtvi_first_output_seconds_count[('provider', 'echo'), ('service', 'llm')]"] == 1


async def test_the_operator_sees_the_live_sessions() -> None:
    """The view has counts and codes, but no text of the conversation."""
    async with serving() as (host, http):
        headers = {"x-rtvi-operator-secret": SECRET}
        async with connected(host) as client:
            await ask(client)
            response = await http.get("/sessions", headers=headers)
        body: Any = response.json()
        assert (await http.get("/sessions", headers=headers)).json()["sessions"] == []
    assert (body["draining"], body["load"]) == (False, 0.001)
    (seen,) = body["sessions"]
    assert (seen["turns"], seen["interrupted"], seen["running_actions"]) == (1, 0, 0)
    assert seen["errors"] == {"provider-failed": 1}
    assert seen["providers"] == {"stt": "echo", "llm": "echo", "tts": "echo", "vad": "echo"}
    assert "llm" in seen["latest_seconds"]
    assert "hello" not in response.text


async def test_a_session_that_is_resumed_is_shown() -> None:
    """This is true even if the previous host ends its part later, in the same process."""
    store = MemoryStore()
    async with serving(store=store) as (first, _), serving(store=store) as (second, http):
        old = first.claim((await first.start(secret=SECRET)).token)
        ready = '{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}'
        old.receive(ready)
        with anyio.fail_after(5):
            (text,) = [each for each in await old.outgoing() if '"bot-ready"' in str(each)]
            token = json.loads(str(text))["data"]["about"]["resume"]["token"]
            resumed = await second.start({"resume": token}, secret=SECRET)
            old.receive(ready)  # the next write of the first host is refused, so its part ends
            while first.open_sessions:
                await anyio.lowlevel.checkpoint()
        body: Any = (await http.get("/sessions", headers={"x-rtvi-operator-secret": SECRET})).json()
        assert [each["id"] for each in body["sessions"]] == [resumed.session_id]


@pytest.mark.parametrize("path", ["/metrics", "/sessions"])
async def test_both_are_the_operators_alone(path: str) -> None:
    """In development mode, both are open, like everything else."""
    async with serving() as (_, http):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-rtvi-operator-secret": "wrong"}):
            refused = await http.get(path, headers=headers)
            assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized")
    async with serving(dev=True) as (_, http):
        assert (await http.get(path)).status_code == 200


ASKING = """
import asyncio, ssl, sys
from starlette.requests import Request
from rtvi_plugins_monitor.hooks import ask_others
from rtvi_plugins_server.workers import PLACE, Workers

read = []
ssl.SSLContext.load_verify_locations = ssl.SSLContext.load_default_certs = lambda *args, **kwargs: read.append(args)
scope = {"type": "http", "server": ("127.0.0.1", 1), "path": "/metrics", "headers": [], PLACE: Workers(0, (0, 1))}
before = set(sys.modules)
asyncio.run(ask_others(Request(scope)))
print(read, sorted(each for each in set(sys.modules) - before if each.partition(".")[0] in ("httpcore2", "trio")))
"""


def test_asking_other_workers_does_not_block_the_sessions() -> None:
    """Everything was imported before, and no certificates are read for http."""
    done = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
