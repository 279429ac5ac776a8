from typing import Annotated

from attrs.validators import ge, le, min_len
from rtvi_plugins import LLM, Doc, Grant, RequestError, Session, action, bot, converse

free_rooms = [*range(1, 13)]


@bot(
    services={"llm": "rules"},
    functions=[Grant("bot:book_room", arguments={"nights": le(3)})],
    client=["bot:book_room", "llm:get_context"],
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Books rooms by itself."""
    await converse(session, llm=llm)


@action(receptionist)
async def book_room(
    session: Session,
    /,
    nights: Annotated[int, ge(1), le(14), Doc("The number of nights.")],
    name: Annotated[str, min_len(1), Doc("The name of the guest.")],
) -> dict[str, int]:
    """Book a room and return the booking."""
    if not free_rooms:
        raise RequestError("All twelve rooms are taken.")
    return {"room": free_rooms.pop(0), "euros": 80 * nights}
