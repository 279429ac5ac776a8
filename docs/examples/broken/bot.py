from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": "moody"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist in a mood."""
    await converse(session, llm=llm)
