"""Bots that are made of what is installed."""

from __future__ import annotations

from rtvi_plugins import LLM, Session, bot, converse

TALKING = ["llm:append_to_messages", "llm:run"]


@bot(
    services={"llm": ["rules", "acme"]},
    plugins=["sums", "recorder"],
    client=["llm.model", "llm:list_models", "bot:add", *TALKING],
    public=True,
)
async def desk(session: Session, /, llm: LLM) -> None:
    """Needs all that works, and nothing that does not."""
    await converse(session, llm=llm)


@bot(services={"llm": ["rules", "broken"]}, public=True)
async def needs_broken(session: Session, /, llm: LLM) -> None:
    """Cannot be had."""


@bot(services={"llm": "rules"}, plugins=["summs"], public=True)
async def misspelled(session: Session, /, llm: LLM) -> None:
    """Names a plugin that nobody has."""


@bot(services={"llm": "outdated"}, public=True)
async def needs_outdated(session: Session, /, llm: LLM) -> None:
    """Names a provider that was built for another plugin API."""


@bot(services={"llm": "acme"}, public=True)
async def either(session: Session, /, llm: LLM) -> None:
    """Names a provider that two distributions offer, if both are installed."""


@bot(
    services={"llm": ["rtvi-plugins-acme:acme", "rtvi-plugins-bazaar:acme"]},
    client=TALKING,
    public=True,
)
async def both(session: Session, /, llm: LLM) -> None:
    """Names both by their distributions."""
    await converse(session, llm=llm)


@bot(services={"llm": "rules"}, plugins=["sums"], client=["bot:add"], public=True)
async def plain(session: Session, /, llm: LLM) -> None:
    """Names nothing that could be mistaken."""
    await converse(session, llm=llm)
