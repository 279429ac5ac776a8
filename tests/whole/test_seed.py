"""The case that this framework began with: a client chooses one of two vendors, and never sees a key.

One bot, two local servers that speak OpenAI's API and take one key each, a proxy in Node that adds the keys, and the
published clients, all in processes of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import define, frozen

from rtvi_plugins import Secret
from rtvi_plugins.errors import NotGranted
from rtvi_plugins_client import connect

from ..tools.patience import PATIENCE
from ..tools.processes import Process, environment, running

ROOT = Path(__file__).parents[2]
SEED = ROOT / "tests" / "seed"
PROXY = ROOT / "docs" / "examples" / "proxy" / "server.mjs"
VENDOR = ROOT / "plugins" / "rtvi-plugins-openai" / "tests" / "openai_server.py"
CLIENTS = ("realtime-ai 0.1.9", "realtime-ai 0.2.3", "client-js 0.4.1", "client-js 1.13.1")
PROVIDERS = ("together", "openai")
PAGE = "https://page.example"
SECRET = "secret-of-a-test"
KEYS = {name: f"{name}-key-of-a-test" for name in PROVIDERS}
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"
WITH_MODEL = [{"service": "llm", "options": [{"name": "model", "value": MODEL}]}]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on one backend only. The code under test runs in other processes."""
    return "asyncio"


# ---- the processes -------------------------------------------------------------------------------------------------


@define
class Vendor:
    """A server that speaks OpenAI's API and accepts one key."""

    url: str
    _told: int = 0

    def asked(self) -> list[tuple[str, str, str]]:
        """Return the path, key and model of each request since the last call."""
        listed: list[dict[str, Any]] = httpx2.get(f"{self.url}/_requests").json()
        fresh, self._told = listed[self._told :], len(listed)
        return [(each["path"], each["key"], each["model"]) for each in fresh]


Vendors = Mapping[str, Vendor]


@pytest.fixture(scope="module")
def vendors() -> Generator[Vendors]:
    """Run both vendors, and another server that accepts any key, as an attacker's would."""
    with ExitStack() as stack:
        commands = {name: ["--name", name, "--key", key] for name, key in KEYS.items()} | {"stranger": []}
        ports = {
            name: stack.enter_context(running([sys.executable, VENDOR, *words], r"READY (\d+)", env=environment()))
            for name, words in commands.items()
        }
        yield {name: Vendor(f"http://127.0.0.1:{port.matched}") for name, port in ports.items()}


@contextmanager
def serving(bot: str) -> Generator[Process]:
    """Run a bot of bots.py that logs everything, and has no key of its own."""
    command = [sys.executable, "-m", "rtvi_plugins", "run", f"bots.py:{bot}", "--port", "0", "--origin", PAGE]
    # Should the vendors' own addresses ever be used, nothing is to leave this machine.
    env = environment(RTVI_OPERATOR_SECRET=SECRET, HTTPS_PROXY="http://127.0.0.1:1")
    with running([*command, "--log-level", "debug"], r"(http://127\.0\.0\.1:\d+)", env=env, cwd=SEED) as process:
        yield process


def at(vendors: Vendors) -> Mapping[str, Mapping[str, str]]:
    """Return the service options that lead to the vendors of this test."""
    return {name: {"base_url": f"{vendors[name].url}/v1"} for name in PROVIDERS}


@contextmanager
def proxy_to(bot: Process, vendors: Vendors, keys: Mapping[str, str] = KEYS) -> Generator[Process]:
    """Run the documented proxy in front of a bot. `matched` is its port."""
    env = environment(
        BOT_URL=bot.matched,
        PORT="0",
        RTVI_OPERATOR_SECRET=SECRET,
        OPENAI_API_KEY=keys["openai"],
        TOGETHER_API_KEY=keys["together"],
        SERVICE_OPTIONS=json.dumps(at(vendors)),
    )
    with running(["node", PROXY], r"listening on (\d+)", env=env) as process:
        yield process


@pytest.fixture(scope="module")
def proxy(vendors: Vendors) -> Generator[str]:
    """Return the address that a page is given: the proxy's. Only the operator may start the bot behind it."""
    with serving("voice_bot") as bot, proxy_to(bot, vendors) as process:
        yield f"http://127.0.0.1:{process.matched}"


@pytest.fixture(scope="module")
def public() -> Generator[str]:
    """Return the address of a bot that anyone may start, without a proxy."""
    with serving("public_bot") as bot:
        yield bot.matched


# ---- what a page does ----------------------------------------------------------------------------------------------


def page(client: str, server: str, **start: Any) -> Mapping[str, Any]:
    """What a bot sent to a published client: `said`, `failed` or `refused`, and every message in `wire`."""
    assert (ROOT / "tests" / "clients" / "node_modules").is_dir(), "Run `npm install` in tests/clients first."
    done = subprocess.run(
        ["node", str(SEED / "page.mjs"), client, server, json.dumps(start)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@frozen
class Refusal:
    """The answer to a start that was refused."""

    status: int
    code: str
    paths: tuple[str, ...]
    text: str


def refused(server: str, **body: Any) -> Refusal:
    """Return how a start that a page sends with `fetch` is refused. Nothing is open afterwards."""
    answer = httpx2.post(f"{server}/start", json=body, headers={"origin": PAGE})
    refusal = answer.json()
    assert answer.is_error, refusal
    assert httpx2.get(f"{server}/health").json()["open_sessions"] == 0
    return Refusal(
        answer.status_code, refusal["error"], tuple(each["path"] for each in refusal.get("details", ())), answer.text
    )


def option(name: str, value: object) -> list[dict[str, Any]]:
    """Return a config of one option of the LLM."""
    return [{"service": "llm", "options": [{"name": name, "value": value}]}]


# ---- the seed's case -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_one_word_of_a_client_chooses_the_vendor(vendors: Vendors, proxy: str, client: str) -> None:
    """The right vendor answers with the model that the client chose, and gets the key that the proxy added."""
    for chosen, other in (PROVIDERS, PROVIDERS[::-1]):
        result = page(client, proxy, services={"llm": chosen}, config=WITH_MODEL)
        assert result.get("said") == f"{chosen} {MODEL} heard: Good morning", result
        assert vendors[chosen].asked() == [("/v1/chat/completions", KEYS[chosen], MODEL)]
        assert vendors[other].asked() == []


@pytest.mark.anyio
async def test_the_operators_own_server_may_start_it_as_the_proxy_does(vendors: Vendors) -> None:
    """A trusted start needs only what the proxy adds. Without a model, the provider's own is used."""
    with serving("voice_bot") as bot:
        trusted = {"api_keys": KEYS, "service_options": at(vendors)}
        async with connect(bot.matched, services={"llm": "openai"}, secret=Secret(SECRET), request=trusted) as client:
            assert (await client.get_config()).values == {"llm": {"model": "gpt-6-luna"}}
            await client.update_config({"llm": {"model": MODEL}})
            await client.send_text("Hello")
            async for event in client.events():
                if event.type == "bot-llm-stopped":
                    break
    assert vendors["openai"].asked() == [("/v1/chat/completions", KEYS["openai"], MODEL)]
    assert vendors["together"].asked() == []


# ---- what a page may not do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ["api_keys", "service_options"])
def test_a_page_that_speaks_as_the_operator_is_refused(vendors: Vendors, public: str, client: str, name: str) -> None:
    """`connect()` rejects, nothing was opened, and no vendor got a request."""
    stranger = {"base_url": f"{vendors['stranger'].url}/v1"}
    body = {name: {"openai": "key-of-a-stranger" if name == "api_keys" else stranger}}
    result = page(client, public, services={"llm": "openai"}, config=WITH_MODEL, body=body)
    assert "said" not in result
    answer = json.loads(result["wire"][0])
    assert (answer["error"], [each["path"] for each in answer["details"]]) == ("operator-only", [f"$.{name}"])
    assert f"$.{name}" in result["refused"]
    assert httpx2.get(f"{public}/health").json()["open_sessions"] == 0
    assert [vendor.asked() for vendor in vendors.values()] == [[], [], []]


def test_all_that_is_the_operators_is_refused_at_once(vendors: Vendors, public: str) -> None:
    """These are keys, service options, defaults and grants, each with its path. A sent key is not sent back."""
    refusal = refused(
        public,
        services={"llm": "openai"},
        api_keys={"openai": "key-of-a-stranger"},
        service_options={"openai": {"base_url": vendors["stranger"].url}},
        defaults={"llm": {"temperature": 2}},
        grants=["llm.temperature"],
    )
    assert (refusal.status, refusal.code) == (403, "operator-only")
    assert set(refusal.paths) == {"$.api_keys", "$.service_options", "$.defaults", "$.grants"}
    assert "key-of-a-stranger" not in refusal.text


def test_a_wrong_secret_makes_nobody_the_operator(public: str) -> None:
    """This is true even for a bot that anyone may start."""
    headers = {"origin": PAGE, "x-rtvi-operator-secret": "guess-of-a-stranger"}
    answer = httpx2.post(f"{public}/start", json={"api_keys": KEYS}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert "guess-of-a-stranger" not in answer.text


def test_only_the_operator_may_start_a_bot_that_spends_keys() -> None:
    """The bot behind the proxy refuses a page that connects directly, whatever it asks for."""
    with serving("voice_bot") as bot:
        assert refused(bot.matched, services={"llm": "openai"}).code == "unauthorized"
        assert refused(bot.matched, services={"llm": "openai"}, api_keys=KEYS).code == "unauthorized"


def test_a_bot_without_a_key_says_so(public: str) -> None:
    """There is no key in its environment, and the start brings none."""
    assert refused(public, services={"llm": "openai"}, config=WITH_MODEL).code == "missing-key"


@pytest.mark.parametrize("name", ["api_keys", "service_options", "defaults", "grants", "base_url"])
def test_the_proxy_lets_nothing_of_the_operators_through(vendors: Vendors, proxy: str, name: str) -> None:
    """Otherwise, the secret that it adds would make these fields trusted."""
    answer = httpx2.post(f"{proxy}/start", json={"services": {"llm": "openai"}, name: vendors["stranger"].url})
    assert (answer.status_code, answer.json()["error"]) == (403, "refused")
    assert [vendor.asked() for vendor in vendors.values()] == [[], [], []]


def test_a_base_url_is_no_option_of_a_client(vendors: Vendors, proxy: str) -> None:
    """It is refused wherever a page puts it among its own fields, although a trusted proxy forwards them."""
    url = vendors["stranger"].url
    for body in (
        {"services": {"llm": "openai"}, "config": option("base_url", url)},
        {"services": {"llm": {"provider": "openai", "base_url": url}}},
        {"services": {"llm": "openai", "base_url": url}},
    ):
        answer = httpx2.post(f"{proxy}/start", json=body)
        assert (answer.status_code, "base_url" in answer.text or "services" in answer.text) == (400, True)
        assert KEYS["openai"] not in answer.text
    assert [vendor.asked() for vendor in vendors.values()] == [[], [], []]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"services": {"llm": "acme"}}, "unknown-provider", "$.services.llm"),
        (
            {"services": {"llm": "openai"}, "config": option("model", 4)},
            "invalid-config",
            "$.config[0].options[0].value",
        ),
        (
            {"services": {"llm": "openai"}, "config": option("temperature", 2)},
            "not-granted",
            "$.config[0].options[0].name",
        ),
        (
            {"services": {"llm": "openai"}, "config": option("model", "gpt-costly")},
            "not-granted",
            "$.config[0].options[0].value",
        ),
    ],
)
def test_what_is_not_granted_is_refused_also_with_the_secret(
    vendors: Vendors, body: Mapping[str, Any], code: str, path: str
) -> None:
    """A provider, an option, or a model that the bot does not grant: `services` and `config` are the client's words."""
    with serving("thrifty_bot") as bot, proxy_to(bot, vendors) as proxy:
        answer = httpx2.post(f"http://127.0.0.1:{proxy.matched}/start", json=body)
        refusal = answer.json()
        assert (refusal["error"], [each["path"] for each in refusal["details"]]) == (code, [path])
        assert httpx2.get(f"{bot.matched}/health").json()["open_sessions"] == 0


@pytest.mark.anyio
async def test_a_model_that_is_not_granted_is_refused_later_too(vendors: Vendors) -> None:
    """The model that was chosen before stays."""
    with serving("thrifty_bot") as bot:
        trusted = {"api_keys": KEYS, "service_options": at(vendors)}
        config = {"llm": {"model": "small-1"}}
        async with connect(bot.matched, config=config, secret=Secret(SECRET), request=trusted) as client:
            with pytest.raises(NotGranted):
                await client.update_config({"llm": {"model": "gpt-costly"}})
            assert (await client.get_config()).values == config


# ---- where a key may be --------------------------------------------------------------------------------------------


def test_a_key_is_nowhere_but_on_its_way_to_the_vendor(vendors: Vendors) -> None:
    """It is in no message to a client and no debug log of the bot and the proxy, whether the key is right or wrong."""
    wrong = {name: f"wrong-{name}-key-of-a-test" for name in PROVIDERS}
    results: list[Mapping[str, Any]] = []
    with serving("voice_bot") as bot, proxy_to(bot, vendors) as right, proxy_to(bot, vendors, wrong) as other:
        for proxy in (right, other):
            server = f"http://127.0.0.1:{proxy.matched}"
            results += [page(client, server, services={"llm": "openai"}, config=WITH_MODEL) for client in CLIENTS]
    worked, failed = results[: len(CLIENTS)], results[len(CLIENTS) :]
    assert [each["said"] for each in worked] == [f"openai {MODEL} heard: Good morning"] * len(CLIENTS)
    # The vendor repeats the key that it refuses.
    assert {key for _, key, _ in vendors["openai"].asked()} == {KEYS["openai"], wrong["openai"]}
    assert ["refused its key" in json.dumps(each["failed"]) for each in failed] == [True] * len(CLIENTS)
    assert all(len(each["wire"]) > 5 for each in results)
    assert bot.said.count("answered with status 401") == len(failed)  # it was talkative indeed
    everything = json.dumps(results) + bot.said + right.said + other.said
    for secret in (*KEYS.values(), *wrong.values(), SECRET):
        assert secret not in everything
