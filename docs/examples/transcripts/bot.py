from typing import Annotated

from attrs.validators import ge
from rtvi_plugins import LLM, Session, action, bot, converse


@bot(services={"llm": "rules"}, client=["bot:book_room"], public=True)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Says that it keeps a transcript."""
    await converse(session, llm=llm, greeting="Good day. I keep a transcript for 30 days.")


@action(receptionist)
async def book_room(nights: Annotated[int, ge(1)]) -> str:
    """Book a room, and return the number of the booking."""
    return f"A-{nights}"
