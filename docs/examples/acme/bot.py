"""A bot to try the package, which does not contain it."""

from __future__ import annotations

from rtvi_plugins import LLM, Session, bot, converse


@bot(
    services={
        "llm": "acme",
    },
    client=["llm.model", "llm:list_models", "llm:show_credit"],
)
async def assistant(session: Session, /, llm: LLM) -> None:
    """Answer the user."""
    await converse(session, llm=llm)
