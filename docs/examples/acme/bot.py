from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": ["rules", "acme"]}, client=["llm.model", "llm:list_models"])
async def pizzeria(session: Session, /, llm: LLM) -> None:
    """Takes orders by text."""
    await converse(session, llm=llm)
