"""Bots that use the installed plugins."""

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
    """Uses every plugin that works, and no broken one."""
    await converse(session, llm=llm)


@bot(services={"llm": ["rules", "broken"]}, public=True)
async def needs_broken(session: Session, /, llm: LLM) -> None:
    """Cannot be loaded, because it names a broken plugin."""


@bot(services={"llm": "rules"}, plugins=["summs"], public=True)
async def misspelled(session: Session, /, llm: LLM) -> None:
    """Names a plugin that does not exist."""


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
    """Names both providers by their distributions."""
    await converse(session, llm=llm)


@bot(services={"llm": "rules"}, plugins=["sums"], client=["bot:add"], public=True)
async def plain(session: Session, /, llm: LLM) -> None:
    """Names nothing that could be ambiguous."""
    await converse(session, llm=llm)
