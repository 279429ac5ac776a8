"""Transcripts are kept, encrypted, shown and deleted: with the real server, client and commands."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from processes import rtvi_run
from rtvi_plugins_client import connect

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "how-to" / "keep-transcripts.md"


async def talk(server: str) -> None:
    """Hold a session of a user."""
    async with connect(server, request={"user": "ada"}) as client:
        await client.action("bot:book_room", nights=2)
        await client.ask("Who are you?")


@pytest.mark.slow
def test_transcripts_are_kept_until_they_are_deleted(tmp_path: Path) -> None:
    """The lines are those of the page. In the files, the words are encrypted."""
    store = str(tmp_path / "sessions.db")
    environ = {"RTVI_STORE_KEY": base64.b64encode(os.urandom(32)).decode()}

    def done(*words: str) -> str:
        command = [sys.executable, *words, *([] if words[0] == str(HERE / "erase.py") else ["--store", store])]
        env = {**os.environ, **environ}
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=50, env=env).stdout

    with rtvi_run(HERE / "bot.py", "--resume", store, "--keep-days", "30", **environ) as server:
        anyio.run(talk, server)
        (session,) = json.loads(done("-m", "rtvi_plugins", "sessions", "list", "--json", "--where", "user=ada"))
        shown = done("-m", "rtvi_plugins", "sessions", "show", session["session"])
        kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    exported = [json.loads(line) for line in done("-m", "rtvi_plugins", "sessions", "export").splitlines()]
    page = PAGE.read_text("utf-8")
    assert without_times(shown) == without_times(page_block(page, "session "))
    assert exported[2].keys() == json.loads(page_block(page, '{"session"')).keys()
    assert b"transcript" not in kept
    assert done(str(HERE / "erase.py"), store, "ada") == "1 sessions deleted\n"
    assert done("-m", "rtvi_plugins", "sessions", "list") == "The store has no such sessions.\n"


def page_block(page: str, beginning: str) -> str:
    """The block of the page that begins like this."""
    found = re.search(rf"```text\n({re.escape(beginning)}.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def without_times(shown: str) -> list[str]:
    """The lines without the times and the id, which differ each time."""
    head, *lines = shown.splitlines()
    return [head.replace(head.split()[1], "ID"), *(line[21:] for line in lines)]
