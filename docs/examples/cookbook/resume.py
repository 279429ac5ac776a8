from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.context import Message

conversations: dict[str, list[Message]] = {}


@bot(services={"llm": "rules"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Continues the last conversation of a user."""
    user = session.start_data.get("user")
    if user in conversations:
        session.context.append(*conversations[user])
    try:
        await converse(session, llm=llm)
    finally:
        if user is not None:
            conversations[user] = [each for each in session.context.messages if each["role"] != "system"]
