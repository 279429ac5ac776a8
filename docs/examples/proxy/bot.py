from rtvi_plugins import LLM, Session, bot, converse


@bot(
    services={"llm": ["together", "openai"]},
    client=["llm.model", "llm:append_to_messages", "llm:run"],
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist with a vendor's model."""
    await converse(session, llm=llm)
