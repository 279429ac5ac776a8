from rtvi_plugins import LLM, Session, action, bot, converse


@bot(services={"llm": "rules"}, functions=["bot:end_call"])
async def hotline(session: Session, /, llm: LLM) -> None:
    """The LLM can end the call."""
    await converse(session, llm=llm)


@action(hotline)
async def end_call(session: Session, /) -> str:
    """End the call."""
    session.close("The caller has finished.")
    return "The call ends after your next sentence."
