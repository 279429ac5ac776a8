"""`rtvi call`: its messages for mistakes, before and after it has connected to a server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from rtvi_plugins.cli import FAILED, OK, USAGE, guarded
from rtvi_plugins_client import command
from rtvi_plugins_client.command import call

URL = "http://127.0.0.1:7860"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([URL], "the following arguments are required: SERVICE:ACTION\n"),
        (["127.0.0.1:7860", "tts:say"], "'127.0.0.1:7860' is not an address; write http://127.0.0.1:7860."),
        (["ws://bots.example/ws", "tts:say"], "write http://bots.example/ws."),
        ([URL, "tts:say", "text=a", "text=b"], "'text' is given twice. Write it once."),
        ([URL, "tts:say", "--config", "llm.model=a", "--config", "llm.model=b"], "'llm.model' is given twice"),
        ([URL, "tts:say", "--timeout", "0"], "--timeout: '0' is not a time. Write a number of seconds, more than 0"),
        ([URL, "tts:say", "--timeout", "nan"], "--timeout: 'nan' is not a time"),
        ([URL, "tts:say", "--timeout", "5", "hello"], "'hello' cannot be read. Write name=value."),
        ([URL, "say"], "'say' names no action; write service:action, as in tts:say."),
        ([URL, "tts:say", "hello"], "'hello' cannot be read. Write name=value."),
        ([URL, "tts:say", "--services", "llm"], "Write service=provider, as in llm=together."),
        ([URL, "tts:say", "--config", "model=x"], "Write service.option=value, as in llm.model=x."),
        ([URL, "tts:say", "--timeout", "soon"], "--timeout"),
        ([URL, "tts:say", "--secret-env", "NO_SUCH_SECRET"], "The environment variable NO_SUCH_SECRET is not set."),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(
    capsys: pytest.CaptureFixture[str], argv: list[str], sentence: str
) -> None:
    """It says what to write instead, and the exit code is 2."""
    assert guarded(lambda: call(argv)) == USAGE
    assert sentence in capsys.readouterr().err


def test_nobody_at_the_address_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The output is one sentence with the code. The exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert guarded(lambda: call([url, "tts:say", "text=hi"])) == FAILED
    printed = capsys.readouterr()
    assert printed.err.startswith(f"rtvi: No server can be reached at {url}: ")
    assert "Check the address, and whether the server runs." in printed.err
    assert printed.err.endswith("(unreachable)\n")
    assert printed.err.count("\n") == 1


def test_help_needs_no_http_library() -> None:
    """Help is shown before httpx2 has been imported."""
    script = (
        "import sys; from rtvi_plugins.cli import guarded; from rtvi_plugins_client.command import call;"
        "code = guarded(lambda: call(['--help'])); sys.exit(code or 10 * ('httpx2' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == OK, done.stderr
    assert "SERVICE:ACTION" in done.stdout


@pytest.mark.parametrize("text", ["Zoë", "\x1b[2J\x9b1m\u202e\u2028", "half an emoji \ud83c"])
def test_a_result_is_printed_as_json_that_does_not_steer_the_terminal(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is the same when it is read again."""
    command._print({"key": text})  # pyright: ignore[reportPrivateUsage]
    printed = capsys.readouterr().out
    assert printed[:-1].isprintable()
    assert json.loads(printed) == {"key": text}
