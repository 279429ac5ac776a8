"""Both proxies, in Node.js and with FastAPI, between a real client, a real server and a fake vendor."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from processes import node_program, rtvi_run, running

HERE = Path(__file__).parent
VENDOR = HERE.parents[2] / "plugins" / "rtvi-plugins-openai" / "tests" / "openai_server.py"
SECRET = "secret-of-a-test"
JSON = {"content-type": "application/json"}

PROGRAM = """
import { LLMHelper, Transport, VoiceClient, VoiceMessage } from "realtime-ai";
import { textSocket } from "./transport.mjs";

class TextTransport extends textSocket(Transport) {
  connect = (bundle) => this.open(bundle.ws_url);
  disconnect = () => this.close();
  sendReadyMessage = () => this.sendMessage(VoiceMessage.clientReady());
}

let answer = "";
const heard = new Promise((resolve) => globalThis.heard = resolve);
const client = new VoiceClient({
  baseUrl: process.argv[2],
  transport: TextTransport,
  enableMic: false,
  services: { llm: %r },
  config: [{ service: "llm", options: [{ name: "model", value: "model-of-a-test" }] }],
  callbacks: {
    onBotTranscript: (text) => {
      answer += text + " ";
      if (answer.includes("Hello")) globalThis.heard();
    },
  },
});
const llm = client.registerHelper("llm", new LLMHelper({}));
await client.start();
await llm.appendToMessages({ role: "user", content: "Hello" }, true);
await heard;
await client.disconnect();
console.log(answer);
process.exit(0);
"""

# The client is not connected: the proxy passes on what the bot says because of the action, as it comes.
ACTION = """
import { RTVIClient, Transport } from "@pipecat-ai/client-js";
import { textSocket } from "./transport.mjs";

let answer = "";
const client = new RTVIClient({
  transport: new (textSocket(Transport))(),
  enableMic: false,
  params: {
    baseUrl: %r,
    requestData: {
      services: { llm: "together" },
      config: [{ service: "llm", options: [{ name: "model", value: "model-of-a-test" }] }],
    },
  },
  callbacks: { onBotTranscript: ({ text }) => (answer += text + " ") },
});
const messages = [{ role: "user", content: "Hello" }];
await client.action({
  service: "llm",
  action: "append_to_messages",
  arguments: [{ name: "messages", value: messages }, { name: "run_immediately", value: true }],
});
console.log(answer);
process.exit(0);
"""


@pytest.fixture(scope="module")
def vendor() -> Generator[Mapping[str, str]]:
    """Return the addresses of two servers with the vendors' API."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running([sys.executable, str(VENDOR), "--name", name, "--key", f"{name}-key-of-a-test"], r"READY (\d+)")
            )
            for name in ("openai", "together")
        }


#: The command that runs each proxy, and what it prints when it listens. Uvicorn prints to stderr.
UVICORN = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "--port", "0", "--no-access-log", "server:app"]
PROXIES = {
    "node": (["node", str(HERE / "server.mjs")], r"listening on (\d+)"),
    "fastapi": (["sh", "-c", f"exec {shlex.join(UVICORN)} 2>&1"], r"running on http://127\.0\.0\.1:(\d+)"),
}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(vendor: Mapping[str, str], request: pytest.FixtureRequest) -> Generator[str]:
    """Return the address of a proxy, in front of a bot that is not public."""
    options = {name: {"base_url": f"http://127.0.0.1:{port}/v1"} for name, port in vendor.items()}
    with rtvi_run(HERE / "bot.py", RTVI_OPERATOR_SECRET=SECRET) as bot:
        environment = {
            "BOT_URL": bot,
            "PORT": "0",
            "RTVI_OPERATOR_SECRET": SECRET,
            "OPENAI_API_KEY": "openai-key-of-a-test",
            "TOGETHER_API_KEY": "together-key-of-a-test",
            "SERVICE_OPTIONS": json.dumps(options),
        }
        command, listening = PROXIES[request.param]
        with running(command, listening, **environment) as port:
            yield f"http://127.0.0.1:{port}"


def start(proxy: str, body: object) -> tuple[int, Any]:
    """Return the status and the body of the answer to a start request."""
    request = Request(f"{proxy}/start", json.dumps(body).encode(), JSON)
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_a_page_chooses_the_provider_and_the_proxy_brings_the_key(tmp_path: Path, proxy: str, provider: str) -> None:
    """A client chooses a vendor with one word."""
    transport = HERE.parent / "clients" / "transport.mjs"
    (tmp_path / "transport.mjs").write_bytes(transport.read_bytes())
    program = (PROGRAM % provider).replace("process.argv[2]", json.dumps(f"{proxy}/connect"))
    names = "LLMHelper, Transport, VoiceClient, VoiceMessage"
    printed = node_program(tmp_path, program, "rtvi-client-0.1", "realtime-ai", names)
    assert f"{provider} model-of-a-test heard: Hello" in printed


def test_a_page_calls_an_action_without_connecting(tmp_path: Path, proxy: str) -> None:
    """It is a start request too, with the operator's keys."""
    transport = HERE.parent / "clients" / "transport.mjs"
    (tmp_path / "transport.mjs").write_bytes(transport.read_bytes())
    printed = node_program(
        tmp_path, ACTION % proxy, "rtvi-client-0.4", "@pipecat-ai/client-js", "RTVIClient, Transport"
    )
    assert "together model-of-a-test heard: Hello" in printed


@pytest.mark.parametrize("name", ["api_keys", "service_options", "defaults", "grants"])
def test_a_page_cannot_speak_as_the_operator(proxy: str, name: str) -> None:
    """Otherwise the bot would trust the field, because the proxy adds the secret."""
    status, answer = start(proxy, {"services": {"llm": "openai"}, name: {"openai": "key-of-a-stranger"}})
    assert (status, answer["info"]) == (403, f"A page may not send {name}.")


def test_a_page_cannot_lead_the_key_elsewhere(proxy: str) -> None:
    """A base URL is not an option, so the bot refuses it. The proxy forwards the error."""
    config = [{"service": "llm", "options": [{"name": "base_url", "value": "https://stranger.example"}]}]
    status, answer = start(proxy, {"services": {"llm": "openai"}, "config": config})
    assert (status, answer["error"]) == (400, "unknown-option")


def test_only_the_page_may_call_the_proxy_from_a_browser(proxy: str) -> None:
    """A browser asks first, and sends nothing if the answer does not name the page's origin."""
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "content-type"
    with urlopen(Request(f"{proxy}/start", headers=asked, method="OPTIONS"), timeout=20) as answer:
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "content-type" in answer.headers["access-control-allow-headers"]


def test_a_body_that_is_no_json_is_a_mistake_of_the_page(proxy: str) -> None:
    """It never reaches the bot."""
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"{proxy}/start", b"{", JSON), timeout=20)
    with refused.value as answer:
        assert 400 <= answer.code < 500


def test_a_stranger_cannot_start_the_bot(vendor: Mapping[str, str]) -> None:
    """The bot is not public, so a start request needs the secret."""
    with rtvi_run(HERE / "bot.py", RTVI_OPERATOR_SECRET=SECRET) as bot:
        status, answer = start(bot, {"services": {"llm": "openai"}})
    assert (status, answer["error"]) == (401, "unauthorized")
