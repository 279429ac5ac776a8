"""The programs of the page "Connect a client", with the published clients and a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from processes import CLIENTS, node_program, rtvi_run

HERE = Path(__file__).parent

PROGRAM = """
import { TALK as talk } from "./example.mjs";
let answer = "";
const heard = new Promise((resolve) => globalThis.heard = resolve);
const { client, booking } = await talk(%r, (text) => {
  answer += text + " ";
  if (answer.includes("Ada")) globalThis.heard();
});
await heard;
if (client.state !== "disconnected") await client.disconnect();
console.log(JSON.stringify({ booking, answer }));
process.exit(0);
"""


@pytest.mark.parametrize(
    ("example", "package", "imported_as"),
    [
        ("voice_client.mjs", "rtvi-client-0.1", "realtime-ai"),
        ("rtvi_client.mjs", "rtvi-client-0.2", "@pipecat-ai/client-js"),
        ("rtvi_client.mjs", "rtvi-client-0.4", "@pipecat-ai/client-js"),
        ("single_turn.mjs", "rtvi-client-0.2", "@pipecat-ai/client-js"),
        ("single_turn.mjs", "rtvi-client-0.4", "@pipecat-ai/client-js"),
        ("pipecat_client.mjs", "rtvi-client-1", "@pipecat-ai/client-js"),
    ],
)
def test_the_program_holds_a_conversation(tmp_path: Path, example: str, package: str, imported_as: str) -> None:
    """It sets an option, calls an action, and receives an answer. `node_program` loads node.mjs before it."""
    names = {
        "voice_client.mjs": "LLMHelper, Transport, VoiceClient, VoiceMessage",
        "rtvi_client.mjs": "LLMHelper, RTVIClient, RTVIMessage, Transport",
        "single_turn.mjs": "RTVIClient, Transport",
        "pipecat_client.mjs": "PipecatClient, RTVIMessage, Transport",
    }[example]
    program = PROGRAM.replace("TALK", "ask" if example == "single_turn.mjs" else "talk")
    shutil.copy(HERE / "transport.mjs", tmp_path)
    shutil.copy(HERE / example, tmp_path / "example.mjs")
    with rtvi_run(HERE / "bot.py") as server:
        printed = node_program(tmp_path, program % server, package, imported_as, names)
    answer = json.loads(printed.splitlines()[-1])
    assert answer["booking"] == "A-2"
    assert "I am Ada" in answer["answer"]


@pytest.mark.parametrize(
    ("example", "package", "imported_as"),
    [
        ("voice_client.mjs", "rtvi-client-0.1", "realtime-ai"),
        ("rtvi_client.mjs", "rtvi-client-0.2", "@pipecat-ai/client-js"),
        ("rtvi_client.mjs", "rtvi-client-0.4", "@pipecat-ai/client-js"),
        ("single_turn.mjs", "rtvi-client-0.4", "@pipecat-ai/client-js"),
    ],
)
def test_older_clients_are_imported_in_node_as_the_page_says(
    tmp_path: Path, example: str, package: str, imported_as: str
) -> None:
    """Without a bundler, these packages have only a default export."""
    for each in ("transport.mjs", "node.mjs"):
        shutil.copy(HERE / each, tmp_path)
    written = (HERE / example).read_text("utf-8")
    in_node = re.sub(r'import (\{.*\}) from ("[a-z@].*");', r"import client from \2; const \1 = client;", written)
    (tmp_path / "example.mjs").write_text(in_node, "utf-8")
    home = tmp_path / "node_modules" / imported_as
    home.parent.mkdir(parents=True)
    home.symlink_to(CLIENTS / package)
    (tmp_path / "node_modules" / "ws").symlink_to(CLIENTS / "ws")
    command = ["node", "--import", "./node.mjs", "example.mjs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr


def test_the_python_program_holds_a_conversation() -> None:
    """Its output is that of the page."""
    with rtvi_run(HERE / "bot.py") as server:
        command = [sys.executable, str(HERE / "python_client.py"), server]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["A-2", "That is 7."]


RESUMING = """
import { RTVIMessage, Transport } from "@pipecat-ai/client-js";
import { stayConnected } from "./resuming.mjs";
import { textSocket } from "./transport.mjs";

const transports = [];
const tokens = [];

class TextTransport extends textSocket(Transport) {
  _validateConnectionParams(params) {
    return params;
  }
  _connect({ wsUrl, token }) {
    transports.push(this);
    return this.open(`${wsUrl}?token=${token}`);
  }
  _disconnect() {
    return this.close();
  }
  sendReadyMessage() {
    this.state = "ready";
    this.sendMessage(RTVIMessage.clientReady());
  }
}

let isBack, hears;
const back = new Promise((resolve) => isBack = resolve);
const over = new Promise((resolve) => globalThis.over = resolve);
const call = await stayConnected({
  endpoint: "SERVER/start",
  requestData: { services: { llm: "rules" }, config: [{ service: "llm", options: [{ name: "name", value: "Ada" }] }] },
  transport: () => new TextTransport(),
  options: {
    enableMic: false,
    callbacks: {
      onBotReady: ({ about }) => { tokens.push(about.resume.token); if (tokens.length === 2) isBack(); },
      onBotOutput: ({ text }) => hears?.(text),
      onDisconnected: globalThis.over,
    },
  },
});
transports[0].socket.close(4000); // as if it were lost
await back;
const answer = new Promise((resolve) => hears = resolve);
await call.client.sendText("Who are you?");
console.log(JSON.stringify({ answer: await answer, connections: transports.length, renewed: tokens[0] !== tokens[1] }));
await call.disconnect();
await over;
process.exit(0);
"""


def test_the_program_that_resumes_continues_with_its_session(tmp_path: Path) -> None:
    """After its socket was cut, the options of the start are still set. It says when the session is over."""
    for each in ("transport.mjs", "resuming.mjs"):
        shutil.copy(HERE / each, tmp_path)
    with rtvi_run(HERE / "bot.py", "--resume", str(tmp_path / "sessions.db")) as server:
        program = RESUMING.replace("SERVER", server)
        names = "PipecatClient, RTVIMessage, Transport"
        printed = node_program(tmp_path, program, "rtvi-client-1", "@pipecat-ai/client-js", names)
    answer = json.loads(printed.splitlines()[-1])
    assert "Ada" in answer["answer"]
    assert (answer["connections"], answer["renewed"]) == (2, True)
