from rtvi_plugins import Session, bot
from rtvi_plugins.events import BotOutput
from rtvi_plugins.session import UserText


@bot()
async def echo(session: Session, /) -> None:
    """Repeats what the user writes."""
    async for input in session.inputs():
        if isinstance(input, UserText):
            async with session.turn() as turn:
                session.emit(BotOutput(input.text, turn.number))
