"""Ask one contestant for a service: `drive.py CONTESTANT BASE_URL SERVICE`, in its environment.

Before each operation it prints "ready", and waits for a line. At the end it prints "figures" and the figures as JSON.
Times are those of `time.monotonic`, which is the same in the server's process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import sys
import time
import urllib.request
import warnings
from collections.abc import Coroutine
from contextlib import aclosing
from importlib import import_module
from typing import Any

from measure import MEASURED, pin
from vendors.workload import AUDIO_SECONDS, FRAME_GAP_SECONDS, FRAMES, PIECES

#: The module and the function that open a service of each contestant. `asyncio` is ours on the loop of the peers.
CONTESTANTS = {
    "native": ("vendors.ours", "native"),
    "asyncio": ("vendors.ours", "native"),
    "bridge": ("vendors.ours", "bridged"),
    "livekit": ("peers.livekit_vendors", "vendors"),
    "pipecat": ("peers.pipecat_vendors", "vendors"),
}
#: How often each answer and each utterance is repeated, after one that opens the connection, and how often an answer is
#: interrupted. The work after an utterance is so short that a single figure may be half or twice the median.
ANSWERS, UTTERANCES, CANCELLED = 9, 25, 9
#: After how many pieces it is interrupted, and how long to wait until the vendor is told.
_EARLY, _PATIENCE = 5, 0.5
#: How long one operation may take, in seconds.
_LONGEST_SECONDS = 30.0
#: How long CPU time counts after the last word is final. Cartesia sends more than that, and each contestant reads it.
_REST_SECONDS = 0.01


async def ask(base: str, what: str) -> dict[str, Any]:
    """Ask the server what it noted of an operation (`log`), or to forget that (`reset`)."""

    def get() -> dict[str, Any]:
        with urllib.request.urlopen(f"{base}/_{what}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    return await asyncio.to_thread(get)


async def in_turn(operation: Coroutine[Any, Any, None]) -> None:
    """Wait for the turn of this contestant, and then for the operation. In the meantime, its connections are served."""
    print("ready", flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        os._exit(1)  # the others have failed
    async with asyncio.timeout(_LONGEST_SECONDS):
        await operation


class Figures:
    """What was measured of a service, in microseconds of CPU time or milliseconds."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """Note a figure."""
        self.found.setdefault(name, []).append(value)

    def medians(self) -> dict[str, float]:
        """Return the median of each."""
        return {name: statistics.median(values) for name, values in self.found.items()}


async def measure_answers(driver: Any, base: str, figures: Figures) -> None:
    """Measure an LLM or a TTS."""

    async def answer(*, counts: bool) -> None:
        await ask(base, "reset")
        first, began = None, time.process_time()
        async with aclosing(driver.pieces()) as pieces:
            async for _ in pieces:
                first = first or time.monotonic()
        took, log = time.process_time() - began, await ask(base, "log")
        if first is None or log["sent"] < PIECES // 4:
            raise RuntimeError(f"there was no whole answer: {log}")
        if counts:
            figures.add("us", took / log["sent"] * 1e6)
            figures.add("first_ms", (first - log["first"]) * 1e3)

    async def interruption() -> None:
        count, left = 0, 0.0
        await ask(base, "reset")
        async with aclosing(driver.pieces()) as pieces:
            async for _ in pieces:
                count += 1
                if count == _EARLY:
                    left = time.monotonic()
                    break
        told: list[float] = []
        while not told and time.monotonic() < left + _PATIENCE:
            await asyncio.sleep(0.02)
            told = [each for each in (await ask(base, "log"))["told"] if each > left]
        if told:
            figures.add("told_ms", (told[0] - left) * 1e3)

    for number in range(1 + ANSWERS):
        await in_turn(answer(counts=number > 0))
    for _ in range(CANCELLED):
        await in_turn(interruption())


def _seconds_of_vendor(log: dict[str, Any], made_final: str, final: float) -> float:
    """Return the seconds from what the vendor last heard to what it sent that made the text final. 0 over HTTP.

    They are not the contestant's, and differ: LiveKit takes each part of a text from Cartesia as final, and ours waits
    until Cartesia says that there are no more, because a part may end within a word.
    """
    sent = max((each for each in log[made_final] if each < final), default=0.0)
    return sent - max((each for each in log["messages"] if each < sent), default=sent)


async def measure_hearing(driver: Any, base: str, figures: Figures) -> None:
    """Measure an STT."""

    async def feed() -> tuple[float, float]:
        for frame in FRAMES:
            await driver.hear(frame)
            await asyncio.sleep(FRAME_GAP_SECONDS)
        used, ended = time.process_time(), time.monotonic()
        await driver.pause()
        return used, ended

    async def utterance(*, counts: bool) -> None:
        await ask(base, "reset")
        final, began = 0.0, time.process_time()
        feeding = asyncio.create_task(feed())
        async with aclosing(driver.texts()) as texts:
            async for is_final in texts:
                if is_final:
                    final = time.monotonic()
        over = time.monotonic()
        await asyncio.sleep(_REST_SECONDS)
        spent = time.process_time()
        used, ended = await feeding
        if not final:
            raise RuntimeError("there was no final text")
        if counts:
            waited = _seconds_of_vendor(await ask(base, "log"), driver.made_final, final)
            figures.add("us", (spent - began) / AUDIO_SECONDS * 1e6)
            figures.add("after_us", (spent - used) * 1e6)
            figures.add("final_ms", (final - ended - waited) * 1e3)
            figures.add("over_ms", (over - ended) * 1e3)

    for number in range(1 + UTTERANCES):
        await in_turn(utterance(counts=number > 0))


async def main(contestant: str, base: str, service: str) -> dict[str, dict[str, float]]:
    """Measure a service. Return nothing of it if it fails."""
    module, function = CONTESTANTS[contestant]
    opens = getattr(import_module(module), function)
    vendor, kind = service.split()
    figures = Figures()
    try:
        async with opens(vendor, kind, base) as driver:
            await (measure_hearing if kind == "stt" else measure_answers)(driver, base, figures)
    except Exception as error:  # the others are still worth measuring
        print(f"{contestant}: {service}: {type(error).__name__}: {error}", file=sys.stderr)
        return {}
    return {service: figures.medians()}


def _loop(contestant: str) -> asyncio.AbstractEventLoop:
    """Return the loop that its bots run on: uvloop with our server, and asyncio's own with LiveKit and pipecat."""
    if contestant not in ("native", "bridge"):
        return asyncio.new_event_loop()
    uvloop: Any = import_module("uvloop")
    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


if __name__ == "__main__":
    pin(MEASURED)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # It is never closed, because some peers never get done with that.
    found = _loop(sys.argv[1]).run_until_complete(main(*sys.argv[1:]))
    print(f"figures {json.dumps(found)}", flush=True)
    os._exit(0)
