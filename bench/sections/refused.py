"""Messages and actions that are refused, each with everything that is wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from measure import cpu_us
from messages import SAY, call, message
from table import Rounds, Row, middle, times_floor

from sections.dispatch import run

TARGET = 10.0

_FIVE_WRONG = call("tts", "tune", {"text": 5, "volume": 2.0, "fast": "false", "loud": True})
#: What is sent, the code of its refusal, and how many problems that lists.
REFUSED: dict[str, tuple[str, str, int]] = {
    "no JSON": (SAY[:-1], "invalid-message", 0),
    "no label": (SAY.replace("rtvi-ai", "else"), "invalid-message", 0),
    "a wrong type": (call("tts", "say", {"text": 5, "interrupt": False}), "invalid-arguments", 1),
    "a missing argument": (call("tts", "say", {"interrupt": False}), "invalid-arguments", 1),
    "five problems at once": (_FIVE_WRONG, "invalid-arguments", 5),
    "an unknown action": (call("tts", "sing", {}), "unknown-action", 1),
    "an action not granted": (call("tts", "interrupt", {}), "not-granted", 1),
    "an unknown type": (message("actoin", {}), "unknown-message", 1),
}


async def _floor() -> dict[str, float]:
    import floor

    return {"us": await cpu_us(run(floor.dispatch))}


async def _ours(name: str) -> dict[str, float]:
    from bots import connected, speaker

    text, code, problems = REFUSED[name]
    async with connected(speaker) as connection:

        async def answer(text: str) -> Sequence[str]:
            connection.receive(text)
            return await connection.outgoing()

        (told,) = await answer(text)
        data = json.loads(told)["data"]
        assert data["code"] == code, told
        listed = len(data.get("details", ()))
        return {"us": await cpu_us(run(answer, text)), "unlisted": problems - listed}


def _case(name: str) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_ours(name))


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "floor": lambda: asyncio.run(_floor()),
    **{name: _case(name) for name in REFUSED},
}


def rows(rounds: Rounds) -> list[Row]:
    unlisted = sum(middle(rounds, name, "unlisted") for name in REFUSED)
    return [
        *(times_floor(rounds, name, name, target=TARGET) for name in REFUSED),
        Row("problems that are not listed", unlisted, "of 10", 0.0),
    ]
