"""A polite client: `polite.py PORT SECONDS ACTION`. It prints how long its requests took, and those of newcomers.

It comes from an address of its own, calls an action 20 times a second, and sends a frame of audio every 20 ms. Every
second a newcomer starts a session, waits for the bot to be ready, and leaves.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress

import wire

_ADDRESS = "127.0.0.2"
_GIVES_UP_AFTER = 10.0


async def _requests(port: int, until: float, action: str, took: list[float]) -> None:
    made = await wire.start(port, _ADDRESS, binary=True)
    speaking = asyncio.ensure_future(_speak(made))
    try:
        number = 0
        while time.monotonic() < until:
            number += 1
            data = {"service": "bot", "action": action, "arguments": [{"name": "text", "value": ""}]}
            text = json.dumps({"label": "rtvi-ai", "type": "action", "id": f"r{number:06}", "data": data}).encode()
            began = time.perf_counter()
            made.writer.write(wire.frame(wire.field(4, wire.field(1, text)), wire.BINARY))
            async with asyncio.timeout(_GIVES_UP_AFTER):
                answer = await made.until(f"r{number:06}".encode())
            if b"action-response" not in answer:
                raise ConnectionError(f"refused: {answer[:300]!r}")
            took.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, 0.05 - took[-1]))
    finally:
        speaking.cancel()
        made.close()


async def _speak(made: wire.Socket) -> None:
    """Send 20 ms of silence every 20 ms."""
    silence = wire.audio(bytes(640))
    due = time.monotonic()
    with suppress(OSError):
        while not made.writer.is_closing():
            made.writer.write(silence)
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _newcomers(port: int, until: float, took: list[float], failed: list[str]) -> None:
    while time.monotonic() < until:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_GIVES_UP_AFTER):
                made = await wire.start(port, _ADDRESS)
            made.close()
            took.append(time.perf_counter() - began)
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            failed.append(f"{type(error).__name__} {error}"[:200])
        await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - began)))


async def main(port: int, seconds: float, action: str) -> None:
    took, newcomers, failed = list[float](), list[float](), list[str]()
    until = time.monotonic() + seconds
    broken = ""
    coming = asyncio.ensure_future(_newcomers(port, until, newcomers, failed))
    try:
        await _requests(port, until, action, took)
    except (OSError, TimeoutError) as error:
        broken = f"{type(error).__name__} {error}"[:200]
    await coming
    print(json.dumps({"took": took, "broken": broken, "newcomers": newcomers, "failed": failed}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
