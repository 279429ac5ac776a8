from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": "rules"}, plugins=["audit"], client=["llm:get_context", "llm:run", "audit:done_so_far"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist with a record of actions."""
    await converse(session, llm=llm)
