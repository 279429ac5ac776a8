"""Peers in separate environments. Each does the same work as ours, in the way that its docs show.

A module has the name of its environment and is imported only there. Its functions have the names of the sections:

- `dispatch()`: the text that it takes for an action, and what answers it
- `describe(count)`: what answers a question for that many actions
- `update_config()`: what answers RTVI's message of that name, for ten options of a service `llm`
- `sessions()`: what starts a session
- `serve(ready)`: a server that calls `ready(port)` and runs until its process is ended
- `serve_audio(ready, sessions)`: the same with a bot for each session that speaks a frame whenever it hears one; it
  calls `ready` with one port, or one for each session
- `vendors(vendor, kind, base)`: a context manager that opens a service, as `vendors/drive.py` asks for it
- `speakers(sessions)`: this many bots in one loop, each a `Speaker`, which speak until they are interrupted
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from typing import Any, Protocol

Answer = Callable[[str], Awaitable[Any]]
Start = Callable[[], Awaitable[Any]]


class Speaker(Protocol):
    """A bot that speaks: when it sent its last frame, and when it stopped making more, on `time.perf_counter`."""

    last: float
    stopped_at: float

    async def speak(self) -> None:
        """Begin, and wait for the first frame."""

    async def interrupt(self) -> None:
        """Ask for silence."""

    async def stopped(self) -> None:
        """Wait until nothing more is made."""


def offered(environment: str, what: str) -> Callable[..., Any]:
    """Return what the module of this peer offers for a section."""
    offer: Callable[..., Any] = getattr(import_module(f"peers.{environment}"), what)
    return offer


def run(measuring: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    """Run in a loop that is never closed. Nothing stops a peer here, because some never finish stopping."""
    return asyncio.new_event_loop().run_until_complete(measuring)
