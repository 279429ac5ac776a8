"""The receptionist of a small hotel: a bot you can type to, offline and without a key."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen
from attrs.validators import ge, le, min_len
from rtvi_plugins import LLM, Doc, RequestError, Session, action, bot, converse

INSTRUCTIONS = (
    "You are the receptionist of the Seaview, a small hotel with twelve rooms, and your name is Vera. "
    "A night costs 80 euros, breakfast included. Answer in one or two short sentences. "
    'Greet the guest with "Good day, this is the Seaview, Vera speaking. Would you like to book a room?"'
)

# What the LLM may ask for, and the client carries out: here, by calling the action below once the guest agrees.
BOOK_ROOM = {
    "name": "book_room",
    "description": "Books a room of the hotel.",
    "parameters": {
        "type": "object",
        "properties": {
            "nights": {"type": "integer", "minimum": 1, "maximum": 14, "description": "How many nights."},
            "name": {"type": "string", "minLength": 1, "description": "Who will stay."},
        },
        "required": ["nights", "name"],
    },
}


@bot(
    services={"llm": ["rules", "openai", "together"]},
    config={
        "llm": {
            "messages": [{"role": "system", "content": INSTRUCTIONS}],
            "tools": [BOOK_ROOM],
            "run_on_config": True,
        },
        "llm.rules": {"words_per_second": 15},
    },
    client=["llm.provider", "llm.model", "llm.temperature", "llm:append_to_messages", "llm:run", "bot:book_room"],
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm)


@frozen
class Booking:
    """A room that is taken."""

    room: int
    name: str
    nights: int
    euros: int


#: The rooms that nobody has booked since this process started.
free_rooms = [*range(1, 13)]


@action(receptionist)
async def book_room(
    session: Session,
    /,
    nights: Annotated[int, ge(1), le(14), Doc("How many nights.")],
    name: Annotated[str, min_len(1), Doc("Who will stay.")],
) -> Booking:
    """Books a room and returns the booking."""
    if not free_rooms:
        raise RequestError("All twelve rooms are taken.")
    return Booking(room=free_rooms.pop(0), name=name, nights=nights, euros=80 * nights)
