"""The programs of the page "Connect a client", with the published clients and a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from processes import node_program, rtvi_run

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
    """It sets an option, calls an action, and receives an answer."""
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


def test_the_python_program_holds_a_conversation() -> None:
    """Its output is the one on the page."""
    with rtvi_run(HERE / "bot.py") as server:
        command = [sys.executable, str(HERE / "python_client.py"), server]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["A-2", "That is 7."]
