"""A bot that is killed. It writes its effects to a file, so that a test sees what was done twice."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from rtvi_plugins import LLM, Session, action, bot, converse

#: One line for each effect.
LEDGER = Path(os.environ.get("LEDGER", "ledger"))


def write(name: str) -> None:
    """Have an effect outside: append a line, which stays when the process is killed."""
    with LEDGER.open("a") as file:
        file.write(f"{name}\n")


@bot(
    services={"llm": ["rules"]},
    client="llm.name llm.words_per_second llm:append_to_messages llm:get_context bot:book bot:slow bot:noop".split(),
    functions=["bot:book"],
    public=True,
)
async def shop(session: Session, /, llm: LLM) -> None:
    """A bot that sells rooms."""
    await converse(session, llm=llm)


@action(shop)
async def book(name: str) -> str:
    """Have an effect at once."""
    write(name)
    return f"booked {name}"


@action(shop)
async def slow(name: str) -> str:
    """Have an effect, and return later."""
    write(name)
    await anyio.sleep(0.3)
    return f"slow {name}"


@action(shop, repeatable=True)
async def noop() -> bool:
    """Do nothing."""
    return True
