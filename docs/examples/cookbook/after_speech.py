from rtvi_plugins import LLM, TTS, Session, bot, converse


@bot(services={"llm": "echo", "tts": "echo"})
async def guide(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Shows buttons whenever the user has heard an answer."""
    session.start_soon(show_buttons, session)
    await converse(session, llm=llm, tts=tts)


async def show_buttons(session: Session) -> None:
    """Show the buttons after each turn of the bot, unless it was interrupted."""
    while True:
        if await session.spoken():
            session.send({"show": "buttons"})
