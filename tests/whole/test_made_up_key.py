"""A newcomer with a made-up key reads which key it is, and where keys are made, when the bot starts.

`rtvi run` as a process, and a server that speaks OpenAI's API as another.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from ..tools.patience import PATIENCE
from ..tools.processes import Process, environment, running

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "plugins" / "rtvi-plugins-openai" / "tests" / "openai_server.py"
SENTENCE = "openai does not accept the key in OPENAI_API_KEY: make one at https://platform.openai.com/api-keys."
BOT = """
public = true
[services]
llm = "openai"
"""


@contextmanager
def serving(folder: Path, base_url: str, bot: str = BOT, **keys: str) -> Generator[Process]:
    """Run the bot with these keys in its environment."""
    (folder / "bot.toml").write_text(bot, "utf-8")
    option = f"llm.openai.base_url={base_url}"
    command = [sys.executable, "-m", "rtvi_plugins", "run", "bot.toml", "--port", "0", "--drain-seconds", "0"]
    env = environment(HTTPS_PROXY="http://127.0.0.1:1", XDG_CONFIG_HOME=str(folder), **keys)
    with running([*command, "--service-option", option], r"(http://127\.0\.0\.1:\d+)", env=env, cwd=folder) as process:
        yield process


def start(process: Process) -> httpx2.Response:
    """Ask for a session."""
    return httpx2.post(f"{process.matched}/start", json={}, timeout=PATIENCE)


@pytest.mark.slow
def test_a_made_up_key_is_named_once_at_the_start(tmp_path: Path) -> None:
    """The log has one sentence, the page is served, and a start is refused with the same sentence."""
    with (
        running([sys.executable, VENDOR, "--key", "the-right-one"], r"READY (\d+)", env=environment()) as vendor,
        serving(tmp_path, f"http://127.0.0.1:{vendor.matched}/v1", OPENAI_API_KEY="made-up-by-a-test") as process,
    ):
        refused = start(process)
        page = httpx2.get(process.matched, timeout=PATIENCE)
    assert refused.status_code == 502
    assert SENTENCE in refused.text
    assert (page.status_code, "OPENAI_API_KEY" in page.text) == (200, False)
    errors = [line for line in process.said.splitlines() if line.startswith(("ERROR", "WARNING", "Traceback"))]
    assert errors == [f"ERROR rtvi_plugins.server: {SENTENCE}"]
    assert "made-up-by-a-test" not in process.said + refused.text


@pytest.mark.slow
def test_a_vendor_that_cannot_be_reached_stops_nothing(tmp_path: Path) -> None:
    """Nothing is said about the key, and sessions start."""
    with serving(tmp_path, "http://127.0.0.1:1/v1", OPENAI_API_KEY="made-up-by-a-test") as process:
        assert start(process).status_code == 200
    assert "OPENAI_API_KEY" not in process.said
    assert "ERROR" not in process.said


@pytest.mark.slow
def test_a_missing_key_names_the_page(tmp_path: Path) -> None:
    """The client reads the page's address in the answer to its start."""
    with serving(tmp_path, "http://127.0.0.1:1/v1") as process:
        refused = start(process)
    assert refused.status_code == 500
    assert "set OPENAI_API_KEY" in refused.text
    assert "Keys are made at https://platform.openai.com/api-keys." in refused.text


@pytest.mark.slow
def test_a_bot_with_another_provider_starts_all_the_same(tmp_path: Path) -> None:
    """The log names the key, and `GET /health` names the provider that fails."""
    bot = BOT.replace('"openai"', '{ failover = ["openai", "rules"] }')
    with (
        running([sys.executable, VENDOR, "--key", "the-right-one"], r"READY (\d+)", env=environment()) as vendor,
        serving(tmp_path, f"http://127.0.0.1:{vendor.matched}/v1", bot, OPENAI_API_KEY="made-up-by-a-test") as process,
    ):
        assert start(process).status_code == 200
        health = httpx2.get(f"{process.matched}/health", timeout=PATIENCE).json()
    assert health["status"] == "ok"
    assert health["failing_providers"]["llm.openai"]["failures"] == 1
    assert f"ERROR rtvi_plugins.server: {SENTENCE}" in process.said
    assert "made-up-by-a-test" not in process.said


@pytest.mark.slow
def test_the_console_says_it_before_the_first_line(tmp_path: Path) -> None:
    """The console ends with the sentence."""
    (tmp_path / "bot.toml").write_text(BOT, "utf-8")
    with running([sys.executable, VENDOR, "--key", "the-right-one"], r"READY (\d+)", env=environment()) as vendor:
        option = f"llm.base_url=http://127.0.0.1:{vendor.matched}/v1"
        command = [sys.executable, "-m", "rtvi_plugins", "console", "bot.toml", "--service-option", option]
        env = environment(XDG_CONFIG_HOME=str(tmp_path), OPENAI_API_KEY="made-up-by-a-test")
        ended = subprocess.run(
            command,
            env=env,
            cwd=tmp_path,
            input="Hello?\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == 1
    assert SENTENCE in ended.stderr
    assert ended.stdout == ""
