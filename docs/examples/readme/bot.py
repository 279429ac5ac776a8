from rtvi_plugins import LLM, Session, action, bot, converse


@bot(services={"llm": ["rules", "openai"]}, client=["llm.model", "bot:book_room"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm)


@action(receptionist)
async def book_room(session: Session, /, nights: int, name: str) -> str:
    """Books a room and returns the booking."""
    return f"{nights} nights for {name}"
