"""The program runs against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from rtvi_plugins.testing import connect

from client import answer
from processes import rtvi_run
from receptionist.bot import receptionist

HERE = Path(__file__).parent


def test_the_program_does_what_it_says() -> None:
    """Its output is the one on the page."""
    with rtvi_run(HERE.parent / "clients" / "bot.py") as server:
        command = [sys.executable, str(HERE / "client.py"), server]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "revision 2",
        "A-2",
        "invalid-arguments ['$.data.arguments[0].value']",
        "I am Ada, a rule-based stand-in for a language model.",
    ]


@pytest.mark.anyio
async def test_an_answer_is_complete() -> None:
    """It does not contain a greeting. It contains the text after a function call."""
    async with connect(receptionist) as client:
        said = await answer(client, "Book a room for two nights under Robert.")
        assert [each.partition(":")[0] for each in said] == ["Done", "The answer is"], said
        assert await answer(client, "Thank you.") == ["You are welcome."]


@pytest.mark.anyio
async def test_an_answer_ends_with_the_session() -> None:
    """The function returns when the connection ends."""
    async with connect(receptionist) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(answer, client, "Tell me a story.")
        await anyio.wait_all_tasks_blocked()
        await client.disconnect_bot()
