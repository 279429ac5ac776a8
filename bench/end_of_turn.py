"""Compare end-of-turn policies on forty turns: how many answers come too early, and how late the others come.

Run `python bench/end_of_turn.py`. An answer is too early if the bot begins before the caller has said the last part.
The delay is from the caller's last word to the end of the turn. Recognition and the LLM take no time here.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from attrs import frozen

from rtvi_plugins.voice import UnfinishedSentence, UserTurn

_TURNS = Path(__file__).parent / "turns.txt"
_PAUSE = re.compile(r"/(\d+\.\d+)")

Policy = Callable[[UserTurn], Awaitable[float]]


@frozen
class Result:
    """What a policy makes of all turns."""

    too_early: int
    mean_delay: float


def read() -> list[list[str]]:
    """The turns: text and pauses by turns, beginning and ending with text."""
    lines = (line for line in _TURNS.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return [[part.strip() for part in _PAUSE.split(line)] for line in lines]


async def silence_alone(turn: UserTurn) -> float:
    """Wait no longer than the VAD."""
    return 0.0


async def compare(stop_secs: float, policy: Policy) -> Result:
    """Take all turns with a VAD that waits `stop_secs`."""
    early, delays = 0, list[float]()
    for parts in read():
        text = parts[0]
        for pause, more in zip(parts[1::2], parts[2::2], strict=True):
            if float(pause) > stop_secs + (await policy(UserTurn(text, 1.0)) if float(pause) > stop_secs else 0.0):
                early += 1
                break
            text = f"{text} {more}"
        else:
            delays.append(stop_secs + await policy(UserTurn(text, 1.0)))
    return Result(early, statistics.mean(delays))


async def main() -> None:
    """Print a line for each policy."""
    print("| policy | too early, of 40 | mean delay |\n|---|---|---|")
    for seconds in (0.4, 0.8, 1.2, 1.6):
        found = await compare(seconds, silence_alone)
        print(f"| silence of {seconds} s | {found.too_early} | {found.mean_delay:.2f} s |")
    found = await compare(0.4, UnfinishedSentence())
    print(f"| silence of 0.4 s and UnfinishedSentence() | {found.too_early} | {found.mean_delay:.2f} s |")


if __name__ == "__main__":
    anyio.run(main)
