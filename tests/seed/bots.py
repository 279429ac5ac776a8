"""The bot of the seed: one LLM service, two vendors, and one option that a client may set."""

from __future__ import annotations

from attrs.validators import in_

from rtvi_plugins import LLM, Grant, Session, bot, converse

TALKING = ["llm:append_to_messages", "llm:run"]


@bot(services={"llm": ["together", "openai"]}, client=["llm.model", *TALKING])
async def voice_bot(session: Session, /, llm: LLM) -> None:
    """Started by whoever knows the operator's secret."""
    await converse(session, llm=llm)


@bot(services={"llm": ["together", "openai"]}, client=["llm.model", *TALKING], public=True)
async def public_bot(session: Session, /, llm: LLM) -> None:
    """Started by anybody."""
    await converse(session, llm=llm)


@bot(
    services={"llm": ["together", "openai"]},
    client=[Grant("llm.model", in_(["small-1", "large-1"])), *TALKING],
)
async def thrifty_bot(session: Session, /, llm: LLM) -> None:
    """Has models of which only two may be used."""
    await converse(session, llm=llm)
