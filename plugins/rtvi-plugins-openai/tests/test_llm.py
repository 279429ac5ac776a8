"""The declarations of the two providers: their addresses, options and actions."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai_server import KEY, OpenAIServer, serve

from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.client import Client
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins.testing import connect
from rtvi_plugins_openai import connect as connect_llm
from rtvi_plugins_openai import llm as declared
from rtvi_plugins_openai.llm import (
    configure,
    list_models,
    openai_llm,
    openai_model,
    openai_thinking,
    together_llm,
    together_model,
)
from rtvi_plugins_vendor.provider_tests import undocumented_options

HELLO = LLMRequest([{"role": "user", "content": "Hello"}])
SERVER = Path(__file__).with_name("openai_server.py")


@pytest.mark.anyio
async def test_both_providers_send_their_own_names_for_the_same_options(base_url: str, server: OpenAIServer) -> None:
    """They share a class and a declaration. Only the name of the answer's maximum length differs."""
    async with openai_llm(KEY, base_url=base_url) as openai, together_llm(KEY, base_url=base_url) as together:
        openai_model(openai, "gpt-4.1")
        together_model(together)
        for each in (openai, together):
            configure(each, temperature=0.5, max_tokens=100, extra={"stop": ["."]})
            assert [piece async for piece in each.respond(HELLO)]
    first, second = (asked.body for asked in server.asked)
    assert (first["model"], second["model"]) == ("gpt-4.1", "openai/gpt-oss-120b")
    assert (first["max_completion_tokens"], second["max_tokens"]) == (100, 100)
    for body in (first, second):
        assert (body["temperature"], body["stop"]) == (0.5, ["."])


@pytest.mark.anyio
async def test_an_option_that_is_taken_back_is_no_longer_sent(base_url: str, server: OpenAIServer) -> None:
    """The function gets the current options."""
    async with openai_llm(KEY, base_url=base_url) as openai:
        openai_model(openai)
        configure(openai, temperature=0.5, seed=1)
        configure(openai, seed=2)
        assert [piece async for piece in openai.respond(HELLO)]
    sent = server.asked[0].body
    assert "temperature" not in sent
    assert sent["seed"] == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("model", "wanted", "sent"),
    [
        ("gpt-6-luna", None, "none"),
        ("gpt-6.2-sol", "low", "low"),
        ("gpt-5.5-pro", None, None),
        ("gpt-5.4", None, None),
        ("gpt-5.4", "none", "none"),
        ("openai/gpt-oss-120b", None, None),
    ],
)
async def test_models_that_can_answer_without_thinking_do_so(
    base_url: str, server: OpenAIServer, model: str, wanted: Any, sent: str | None
) -> None:
    """With functions, OpenAI refuses thoughts of them. Others may not know the field."""
    async with openai_llm(KEY, base_url=base_url) as openai:
        openai_model(openai, model)
        openai_thinking(openai, wanted)
        configure(openai, temperature=0.5)
        assert [piece async for piece in openai.respond(HELLO)]
    assert server.asked[0].body.get("reasoning_effort") == sent


@pytest.mark.anyio
async def test_models_can_be_listed(base_url: str) -> None:
    """Both providers have the action."""
    async with together_llm(KEY, base_url=base_url) as together:
        assert await list_models(together) == ["large-1", "small-1"]


ADDRESSES = {
    "openai": "https://api.openai.com/v1/",
    "together": "https://api.together.xyz/v1/",
    "groq": "https://api.groq.com/openai/v1/",
    "xai": "https://api.x.ai/v1/",
    "fireworks": "https://api.fireworks.ai/inference/v1/",
    "openrouter": "https://openrouter.ai/api/v1/",
    "ollama": "http://localhost:11434/v1/",
    "vllm": "http://localhost:8000/v1/",
    "llamacpp": "http://localhost:8080/v1/",
    "lmstudio": "http://localhost:1234/v1/",
}
SERVERS = ("ollama", "vllm", "llamacpp", "lmstudio")


@pytest.mark.anyio
@pytest.mark.parametrize("name", declared.VENDORS)
async def test_a_provider_knows_its_vendors_address(name: str) -> None:
    """Nothing is sent when it opens."""
    async with getattr(declared, f"{name}_llm")(KEY) as live:
        assert (str(live.http.client.base_url), live.provider) == (ADDRESSES[name], name)


@pytest.mark.anyio
@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_of_ones_own_needs_neither_key_nor_model(name: str, server: OpenAIServer) -> None:
    """It uses the first model that the server lists, which is requested only once."""
    server.key, server.models = None, {"data": [{"id": "second-hand"}, {"id": "another"}]}
    server.needs_key = False
    with serve(server) as base_url:
        async with getattr(declared, f"{name}_llm")(None, base_url=base_url) as live:
            getattr(declared, f"{name}_model")(live)
            configure(live, max_tokens=7)
            for _ in range(2):
                assert [piece async for piece in live.respond(HELLO)]
            getattr(declared, f"{name}_model")(live, "third")
            assert [piece async for piece in live.respond(HELLO)]
    assert [each.path for each in server.asked] == ["/v1/models", *["/v1/chat/completions"] * 3]
    assert [each.body["model"] for each in server.asked[1:]] == ["second-hand", "second-hand", "third"]
    assert {each.key for each in server.asked} == {""}
    assert server.asked[1].body["max_tokens"] == 7


@pytest.mark.anyio
async def test_a_server_without_models_is_a_bad_request(server: OpenAIServer) -> None:
    """No model could answer."""
    server.models = {"data": []}
    with serve(server) as base_url:
        async with connect_llm("ollama", KEY, base_url=base_url) as live:
            live.model = None
            with pytest.raises(ProviderError, match="ollama did not accept the request"):
                [piece async for piece in live.respond(HELLO)]


def test_every_vendor_has_an_entry_point() -> None:
    """A bot finds it by its name."""
    toml = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
    entries = toml["project"]["entry-points"]["rtvi_plugins"]
    assert {name for name in entries if name.startswith("llm.")} == {f"llm.{name}" for name in declared.VENDORS}


def test_the_readme_tells_every_option_and_every_vendor() -> None:
    """Bot authors read there what can be set."""
    readme = Path(__file__).parents[1] / "README.md"
    assert undocumented_options(readme, openai_llm, openai_model, openai_thinking, configure) == []
    for each in declared.VENDORS.values():
        model = f"`{each.models[0]}`" if each.models else "the first that it lists"
        assert f"| `{each.name}` | `{each.base_url}` | {model} |" in readme.read_text("utf-8")


# ---- in a bot --------------------------------------------------------------------------------------------------------


@bot(
    services={"llm": ["openai", "together"]},
    client=["llm.model", "llm.temperature", "llm:append_to_messages", "llm:list_models"],
)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A clerk that answers written messages."""
    await converse(session, llm=llm)


async def answer_of(client: Client) -> str:
    """Return what the bot says, up to the end of its answer."""
    said = ""
    async for event in client.events():
        if event.type == "bot-llm-stopped":
            break
        said += event.data["text"] if event.type == "bot-llm-text" else ""
    return said


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["openai", "together"])
async def test_a_client_chooses_the_provider_and_the_operator_brings_its_key_and_address(provider: str) -> None:
    """Each server gets the key of its own provider, and the model that the client chose."""
    servers = {name: OpenAIServer(name) for name in ("openai", "together")}
    with serve(servers["openai"]) as first, serve(servers["together"]) as second:
        operator = {"service_options": {"openai": {"base_url": first}, "together": {"base_url": second}}}
        async with connect(
            clerk,
            declared,
            services={"llm": provider},
            config={"llm": {"model": "small-1"}},
            api_keys={"openai": "key-of-openai", "together": "key-of-together"},
            operator=operator,
        ) as client:
            assert await client.action("llm:list_models") == ["large-1", "small-1"]
            await client.action(
                "llm:append_to_messages", messages=[{"role": "user", "content": "Hello"}], run_immediately=True
            )
            said = await answer_of(client)
    assert said == f"{provider} small-1 heard: Hello"
    asked = {name: {each.key for each in server.asked} for name, server in servers.items()}
    assert asked == {"openai": set(), "together": set()} | {provider: {f"key-of-{provider}"}}


# ---- the server as a process -----------------------------------------------------------------------------------------


@contextmanager
def running(*arguments: str) -> Generator[str]:
    """Run the server in a separate process. Yield its address."""
    command = [sys.executable, str(SERVER), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, _, port = process.stdout.readline().strip().partition(" ")
        assert word == "READY"
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.anyio
async def test_a_server_process_tells_what_it_was_asked() -> None:
    """It prints the key and the model of each request."""
    with running("--port", "0", "--name", "together") as url:
        async with together_llm(KEY, base_url=f"{url}/v1") as together:
            together_model(together, "small-1")
            said = "".join([getattr(piece, "text", "") async for piece in together.respond(HELLO)])
        async with httpx2.AsyncClient() as http:
            (asked,) = (await http.get(f"{url}/_requests")).json()
    assert said == "together small-1 heard: Hello"
    assert (asked["key"], asked["model"]) == (KEY.reveal(), "small-1")
