from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": "rules"})
async def pizzeria(session: Session, /, llm: LLM) -> None:
    """Takes orders by text."""
    await converse(session, llm=llm)
