"""The bot of the seed: one LLM service, two vendors, and one option that a client may set."""

from __future__ import annotations

from attrs.validators import in_

from rtvi_plugins import LLM, Grant, Session, bot, converse

TALKING = ["llm:append_to_messages", "llm:run"]


@bot(services={"llm": ["together", "openai"]}, client=["llm.model", *TALKING])
async def voice_bot(session: Session, /, llm: LLM) -> None:
    """Anyone who knows the operator's secret may start this bot."""
    await converse(session, llm=llm)


@bot(services={"llm": ["together", "openai"]}, client=["llm.model", *TALKING], public=True)
async def public_bot(session: Session, /, llm: LLM) -> None:
    """Anyone may start this bot."""
    await converse(session, llm=llm)


@bot(
    services={"llm": ["together", "openai"]},
    client=[Grant("llm.model", in_(["small-1", "large-1"])), *TALKING],
)
async def thrifty_bot(session: Session, /, llm: LLM) -> None:
    """Its provider has several models, of which clients may use only two."""
    await converse(session, llm=llm)
