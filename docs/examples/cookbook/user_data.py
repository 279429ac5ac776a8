from rtvi_plugins import LLM, Session, bot, converse


@bot(services={"llm": "rules"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Greets the user by name."""
    name = session.start_data.get("name", "guest")
    await converse(session, llm=llm, greeting=f"Good day, {name}!")
