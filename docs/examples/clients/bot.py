from rtvi_plugins import LLM, Session, action, bot, converse


@bot(
    services={"llm": ["rules", "echo"]},
    client=["llm.name", "llm:append_to_messages", "bot:book_room"],
    public=True,  # everybody may start it, because it costs nothing
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm)


@action(receptionist)
async def book_room(session: Session, /, nights: int) -> str:
    """Book a room and return the number of the booking."""
    return f"A-{nights}"
