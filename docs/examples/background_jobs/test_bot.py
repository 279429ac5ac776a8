"""A long action returns a job at once. Messages with its progress and its end follow."""

from __future__ import annotations

from typing import Any

import pytest
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

from bot import office

pytestmark = pytest.mark.anyio


async def job_messages(client: Client, status: str) -> list[dict[str, Any]]:
    """Return the messages of jobs, up to the first one with this status."""
    found: list[dict[str, Any]] = []
    async for event in client.events():
        if event.type == "server-message" and event.data["type"] == "job":
            found.append(event.data)
            if event.data["status"] == status:
                break
    return found


async def test_progress_and_the_result_follow() -> None:
    """Each message names the job. The last one contains the result."""
    async with connect(office) as client:
        answer = await client.action("bot:print_report", pages=2)
        assert answer == {"job": "job-1"}
        *steps, end = await job_messages(client, "done")
        assert [(each["job"], each["status"], each["data"]) for each in steps] == [
            ("job-1", "progress", {"page": 1}),
            ("job-1", "progress", {"page": 2}),
        ]
        assert end == {
            "type": "job",
            "job": "job-1",
            "action": "bot:print_report",
            "status": "done",
            "result": {"pages": 2},
        }


async def test_a_job_can_be_cancelled() -> None:
    """Every long action comes with an action to cancel it."""
    async with connect(office) as client:
        answer = await client.action("bot:print_report", pages=1_000_000)
        assert await client.action("bot:cancel_job", job=answer["job"])
        assert (await job_messages(client, "cancelled"))[-1]["job"] == answer["job"]
