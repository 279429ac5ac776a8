from rtvi_plugins import LLM, Session, bot, converse

from rtvi_plugins_avatar import Avatar


@bot(services={"llm": "rules", "face": "sketch"}, client=["face.eyes", "face:show_mood"])
async def receptionist(session: Session, /, llm: LLM, face: Avatar) -> None:
    """A receptionist with a face."""
    await converse(session, llm=llm)
