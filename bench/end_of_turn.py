"""Compare end-of-turn policies on forty turns: how many answers come too early, and how late the others come.

Run `python bench/end_of_turn.py` for the turns as they are written, or with the name of a recogniser (`whisper` or
`pocketsphinx`) for what the VAD and the recogniser make of them when they are spoken. That takes some minutes.

An answer is too early if the bot begins before the caller has said the last part. The delay is from the caller's last
sound to the end of the turn. Recognition and the LLM take no time here.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from attrs import frozen
from spoken_turns import RECOGNISERS, Turn, hear

from rtvi_plugins.voice import UnfinishedSentence, UserTurn

_TURNS = Path(__file__).parent / "turns.txt"
_PAUSE = re.compile(r"/(\d+\.\d+)")

Policy = Callable[[UserTurn], Awaitable[float]]


@frozen
class Result:
    """What a policy makes of all turns."""

    too_early: int
    mean_delay: float
    longest_delay: float


def read() -> list[list[str]]:
    """The turns: text and pauses by turns, beginning and ending with text."""
    lines = (line for line in _TURNS.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return [[part.strip() for part in _PAUSE.split(line)] for line in lines]


async def silence_alone(turn: UserTurn) -> float:
    """Wait no longer than the VAD."""
    return 0.0


async def compare(turns: Sequence[Turn], stop_secs: float, policy: Policy) -> Result:
    """Take all turns with a VAD that waits `stop_secs`."""
    early, delays = 0, list[float]()
    for turn in turns:
        text = turn.texts[0]
        for pause, more in zip(turn.pauses, turn.texts[1:], strict=True):
            # Without a word, the bot does not answer.
            if text and pause > stop_secs + (await policy(UserTurn(text, 1.0)) if pause > stop_secs else 0.0):
                early += 1
                break
            text = f"{text} {more}".strip()
        else:
            delays.append(turn.lag + stop_secs + await policy(UserTurn(text, 1.0)))
    return Result(early, statistics.mean(delays), max(delays))


async def main(recogniser: str | None = None) -> None:
    """Print a line for each policy."""
    written = read()
    if recogniser is None:
        turns = [Turn(parts[::2], [float(each) for each in parts[1::2]]) for parts in written]
    else:
        turns = await hear(written, recogniser)
        for turn in turns:
            pauses = [f" /{each:.1f} " for each in turn.pauses] + [""]
            print("".join(f"{text}{pause}" for text, pause in zip(turn.texts, pauses, strict=True)), file=sys.stderr)
    print(f"| policy | too early, of {len(turns)} | mean delay | longest delay |\n|---|---|---|---|")
    policies: list[tuple[str, float, Policy]] = [
        *((f"silence of {seconds} s", seconds, silence_alone) for seconds in (0.4, 0.8, 1.2, 1.6)),
        ("silence of 0.4 s and UnfinishedSentence()", 0.4, UnfinishedSentence()),
    ]
    for name, seconds, policy in policies:
        found = await compare(turns, seconds, policy)
        print(f"| {name} | {found.too_early} | {found.mean_delay:.2f} s | {found.longest_delay:.2f} s |")


if __name__ == "__main__":
    if sys.argv[1:] and (len(sys.argv) > 2 or sys.argv[1] not in RECOGNISERS):
        sys.exit(f"Name one of the recognisers: {', '.join(RECOGNISERS)}.")
    anyio.run(main, sys.argv[1] if sys.argv[1:] else None)
