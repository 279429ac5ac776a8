"""The attacks: `attacks.py NAME PORT SECONDS`. Each ends by itself, and leaves nothing open."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import wire

Attack = Callable[[int], Awaitable[None]]

_CONNECTIONS = 200
_READY_SECONDS = 10


def _many(data: bytes, size: int = 16_384) -> bytes:
    """Return the same frame so often that one write is efficient."""
    return data * max(1, size // len(data))


async def _flood(port: int, data: bytes, *, binary: bool = False, reads: bool = True, pause: float = 0.0) -> None:
    """Send frames in one session after the other: a session that is ended is followed by the next."""
    while True:
        made = await wire.start(port, binary=binary)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(made.drop()) if reads else None
            await made.flood(data, pause=pause)
            if reading is not None:
                await reading
        made.close()


async def pings(port: int) -> None:
    await _flood(port, _many(wire.frame(bytes(125), wire.PING)), reads=False)


async def empty_binary(port: int) -> None:
    await _flood(port, _many(wire.frame(b"", wire.BINARY)), binary=True)


async def empty_objects(port: int) -> None:
    await _flood(port, _many(wire.frame(b"{}")))


async def rejected_audio(port: int) -> None:
    await _flood(port, _many(wire.audio(bytes(640), 1)), binary=True)


async def empty_fragments(port: int) -> None:
    made = await wire.start(port)
    made.writer.write(wire.frame(b"{", final=False))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.drop())
        await made.flood(_many(wire.frame(b"", wire.CONTINUATION, final=False)))
    made.close()
    await asyncio.sleep(0.05)
    await empty_fragments(port)


async def stop_reading(port: int) -> None:
    """Ten clients with small buffers make large requests, and read nothing."""
    made = await wire.at_once(10, lambda: wire.start(port, buffer=4_096))
    asked = wire.message("action", _call("echo", text="x" * 60_000))
    with suppress(OSError):
        for _ in range(100):
            for each in made:
                if not each.writer.is_closing():
                    each.writer.write(asked)
            await asyncio.sleep(0.1)
    await asyncio.sleep(3600)


async def descriptors(port: int) -> None:
    await _hold(port, b"")


async def slow_loris(port: int) -> None:
    """Connections that begin something without finishing it, or send too much."""
    long = wire.handshake("/ws?token=x", f"Cookie: {'c' * 9_000}")
    many = wire.handshake("/ws?token=x", *(f"X-{number}: 1" for number in range(200)))
    half = wire.handshake("/ws?token=x")[:-20]
    body = b"POST /start HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
    await _hold(port, b"", b"GET / HT", body, half, long, many)


async def _hold(port: int, *words: bytes) -> None:
    """Hold very many connections, each of which has sent one of these."""
    made: list[wire.Socket] = []
    for number in range(_CONNECTIONS):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                each = await wire.connect(port)
                each.writer.write(words[number % len(words)])
                made.append(each)
    await asyncio.sleep(3600)


async def requests(port: int) -> None:
    """60 connections, each of which repeats a cheap request as soon as the one before was answered."""

    async def repeat() -> None:
        made = await wire.connect(port)
        while True:
            made.writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await made.until(b"open_sessions")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(60):
            tasks.create_task(repeat())


async def large_start(port: int) -> None:
    """A megabyte of names that the bot does not have, again and again."""
    body = json.dumps({"config": {f"service_{number:06}": {} for number in range(46_000)}}).encode()
    while True:
        with suppress(OSError):
            await wire.post(port, "/start", body)
        await asyncio.sleep(0.2)


async def large_update(port: int) -> None:
    """54 KB of options that the bot does not have, 200 times a second."""
    options = [{"name": f"mesages{number:04}", "value": 1} for number in range(1_300)]
    data = {"config": [{"service": "llm", "options": options}]}
    await _flood(port, wire.message("update-config", data), pause=0.005)


async def objects(port: int) -> None:
    """Valid arguments of 6,000 objects, 200 times a second."""
    await _flood(port, wire.message("action", _call("count", items=[{"n": 1}] * 6_000)), pause=0.005)


async def speech(port: int) -> None:
    """Four callers who say two seconds of noise at once, and again after a short pause."""
    noise = random.Random(1).randbytes(640)
    said = wire.audio(noise) * 100

    async def call() -> None:
        made = await wire.start(port, binary=True)
        reading = asyncio.ensure_future(made.drop())
        await made.flood(said, pause=0.4)
        await reading

    await asyncio.gather(*(call() for _ in range(4)), return_exceptions=True)
    await asyncio.sleep(3600)


async def starts(port: int) -> None:
    """As many sessions as the server lets wait, started by one address and never claimed."""
    for _ in range(64):
        with suppress(OSError):
            await wire.post(port, "/start", b"{}")
    await asyncio.sleep(3600)


def _call(action: str, **arguments: object) -> object:
    sent = [{"name": name, "value": value} for name, value in arguments.items()]
    return {"service": "bot", "action": action, "arguments": sent}


async def nothing(port: int) -> None:
    """No attack. It shows what a polite client gets without one."""
    await asyncio.sleep(3600)


ATTACKS: dict[str, Attack] = {
    each.__name__: each
    for each in (
        nothing,
        pings,
        stop_reading,
        empty_binary,
        empty_objects,
        rejected_audio,
        empty_fragments,
        descriptors,
        slow_loris,
        requests,
        large_start,
        large_update,
        objects,
        speech,
        starts,
    )
}

#: The attackers that stay connected after the attack. What they hold must be released nevertheless.
STAYING = frozenset(("stop_reading", "descriptors", "slow_loris"))


async def _run(attack: Attack, port: int, seconds: float) -> None:
    """Attack for this long, whatever happens. If the server closes the connection, begin again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await attack(port)
                except (OSError, IndexError, ValueError, ExceptionGroup):
                    await asyncio.sleep(0.1)


def main(words: Iterable[str]) -> None:
    name, port, seconds = words
    os.nice(10)  # the attacker's own CPU time is not measured
    asyncio.run(_run(ATTACKS[name], int(port), float(seconds)))
    os._exit(0)  # sockets of clients that read nothing would be waited for


if __name__ == "__main__":
    main(sys.argv[1:])
