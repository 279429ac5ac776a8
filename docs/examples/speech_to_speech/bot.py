from typing import Annotated

from attrs.validators import ge
from rtvi_plugins import Session, SpeechModel, action, bot, converse

PROMPT = "You answer the phone of a small hotel. A night costs 80 euros. Answer in one or two sentences."


@bot(
    services={"speech": "openai"},
    config={"speech": {"messages": [{"role": "system", "content": PROMPT}]}},
    functions=["bot:book_room"],
    client=["speech:append_to_messages", "speech:get_context", "speech:interrupt"],
    public=True,
)
async def receptionist(session: Session, /, speech: SpeechModel) -> None:
    """Answers the phone of a hotel."""
    await converse(session, speech=speech, greeting="Good evening, this is the hotel.")


@action(receptionist)
async def book_room(nights: Annotated[int, ge(1)], name: str) -> str:
    """Book a room and return its number."""
    return f"Room 7 is booked for {name}, {nights} nights."
