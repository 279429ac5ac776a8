"""A bot whose code and libraries log too much, for the test of a server's log."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from typing import Any

from rtvi_plugins import Session, action, bot

KEY = os.environ.get("ACME_API_KEY", "")


@bot(client=["bot:say", "bot:fail", "bot:misreport"], public=True)
async def leaky(session: Session, /) -> None:
    """Logs too much."""


@action(leaky)
async def say(session: Session, /, text: str) -> bool:
    """Make every library log it."""
    for name in ("httpx2", "httpcore2.connection", "uvicorn.error", "websockets.server", "acme.client"):
        logging.getLogger(name).warning("%s: %s, %r", text, KEY, {"key": KEY})
    logging.getLogger("httpx2").info("GET https://api.example/%s", text)
    logging.getLogger("acme").info("GET https://user:PASSWORD@api.example/")
    warnings.warn(f"{text} {KEY}", stacklevel=1)
    thread = threading.Thread(target=_raise, args=(f"{text} {KEY}",))
    thread.start()
    thread.join()
    asyncio.get_running_loop().call_soon(_raise, f"{text} {KEY}")
    return True


@action(leaky)
async def fail(session: Session, /, text: str) -> bool:
    """Raise it."""
    _raise(f"{text} {KEY}")
    return True


@action(leaky)
async def misreport(session: Session, /, text: str) -> dict[str, int]:
    """Return it where a number is required."""
    wrong: Any = text
    return {text: wrong}


def _raise(text: str) -> None:
    raise RuntimeError(text)
