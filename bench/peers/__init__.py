"""Peers in environments of their own. Every one is asked for what ours is asked for, in the way that its docs show.

A module here is named like its environment and is imported in there only. What it offers is named like the section:

- `dispatch()`: the text that it takes for an action, and what answers it
- `describe(count)`: what answers a question for that many actions
- `update_config()`: what answers RTVI's message of that name, for ten options of a service `llm`
- `sessions()`: what starts a session
- `serve(ready)`: a server that calls `ready(port)` and goes on until its process is ended
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from typing import Any

Answer = Callable[[str], Awaitable[Any]]
Start = Callable[[], Awaitable[Any]]


def offered(environment: str, what: str) -> Callable[..., Any]:
    """What the module of this peer offers for a section."""
    offer: Callable[..., Any] = getattr(import_module(f"peers.{environment}"), what)
    return offer


def run(measuring: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    """Run in a loop that is never closed: nothing stops a peer here, for some never get done with it."""
    return asyncio.new_event_loop().run_until_complete(measuring)
