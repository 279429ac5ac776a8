"""`rtvi top`, with the server of a real process."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtvi_plugins.cli import FAILED, OK, USAGE, guarded
from rtvi_plugins_monitor import command
from rtvi_plugins_monitor.command import top
from rtvi_plugins_monitor.workers import merge

BOT = """\
from rtvi_plugins import Session, bot

@bot(services={}, public=True)
async def quiet(session: Session, /) -> None:
    "Says nothing."
"""


@contextmanager
def serving(path: Path, *options: str) -> Generator[str]:
    """Serve a bot in a separate process, and yield its address."""
    line = [sys.executable, "-m", "rtvi_plugins", "run", str(path), "--port", "0", "--dev", "--no-reload"]
    with subprocess.Popen(
        [*line, "--plugin", "monitor", "--drain-seconds", "0", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


@pytest.mark.slow
def test_it_shows_the_sessions_of_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session that waits for its client is shown as well."""
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    with serving(path) as url:
        assert httpx2.post(f"{url}/start", json={}).status_code == 200
        assert guarded(lambda: top([url])) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 session, load 0.00"
    assert lines[1].split() == "session age client turns cut running voice to voice errors providers".split()
    assert lines[2].split()[1:] == ["0:00", "-", "0", "0", "0", "-", "-", "-"]


@pytest.mark.slow
def test_any_worker_answers_for_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path of a worker has only its own metrics."""
    path = tmp_path / "bot.py"
    path.write_text(BOT)

    def found(url: str, pattern: str) -> list[Any]:
        return re.findall(pattern, httpx2.get(f"{url}/metrics").text, re.MULTILINE)

    with serving(path, "--workers", "2") as url:
        for _ in range(4):
            assert httpx2.post(f"{url}/start", json={}).status_code == 200
        each = r'^rtvi_sessions_open\{worker="(\d)"\} (\d)\.0$'
        assert found(url, each) == [("0", "2"), ("1", "2")]
        assert found(url, r"^(# TYPE rtvi_starts_total counter)$") == ["# TYPE rtvi_starts_total counter"]
        assert found(f"{url}/w1", r"^rtvi_sessions_open (\d)\.0$") == ["2"]
        assert httpx2.get(f"{url}/w9/metrics").status_code == 404
        assert guarded(lambda: top([url])) == OK
        lines = capsys.readouterr().out.splitlines()
        assert (lines[0], len(lines)) == ("4 sessions in 2 workers, load 0.00", 6)


def test_a_worker_that_does_not_answer_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the metrics, and under the summary."""
    text = merge({0: b"# TYPE a gauge\na 1.0\n", 3: None}).decode()
    assert 'rtvi_worker_up{worker="3"} 0.0' in text
    assert re.findall("^a.*", text, re.MULTILINE) == ['a{worker="0"} 1.0']
    view = {"sessions": [], "load": 0, "draining": False, "workers": 1, "silent_workers": [3]}

    def fetch(url: str, headers: object) -> object:
        return view

    monkeypatch.setattr(command, "_fetch", fetch)
    assert top(["http://127.0.0.1:7860"]) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["0 sessions in 1 worker, load 0.00", "Not shown: worker 3 does not answer."]


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["127.0.0.1:7860"], USAGE, "'127.0.0.1:7860' is not an address; write http://127.0.0.1:7860."),
        (["http://127.0.0.1:7860", "--every", "0"], USAGE, "'0' is not a time"),
        (["http://127.0.0.1:7860", "--every", "1e300"], USAGE, "'1e300' is not a time"),
        (["http://127.0.0.1:7860", "--every", "inf"], USAGE, "--every inf shows one view; write --once"),
        (["http://127.0.0.1:7860", "--secret-env", "NO_SUCH"], USAGE, "variable NO_SUCH is not set"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(
    capsys: pytest.CaptureFixture[str], argv: list[str], code: int, sentence: str
) -> None:
    """It says what to write instead."""
    assert guarded(lambda: top(argv)) == code
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "hint"), [([], " Name it with --secret-env."), (["--secret-env", "A_SECRET"], "")])
def test_who_has_named_a_secret_is_not_told_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str], hint: str
) -> None:
    """The error says what is wrong with the secret."""

    def get(url: str, **options: object) -> httpx2.Response:
        return httpx2.Response(401, json={"info": "It is refused."})

    monkeypatch.setattr(httpx2, "get", get)
    monkeypatch.setenv("A_SECRET", "not-a-real-secret")
    assert guarded(lambda: top(["http://127.0.0.1:7860", *argv])) == FAILED
    assert capsys.readouterr().err == f"rtvi: It is refused.{hint}\n"


def test_nobody_at_the_address_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The output is one sentence, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert guarded(lambda: top([url])) == FAILED
    printed = capsys.readouterr().err
    assert f"No server can be reached at {url}" in printed
    assert "Check the address, and whether the server runs." in printed
