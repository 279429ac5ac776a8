from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": "rules"}, client=["llm.name"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm)
