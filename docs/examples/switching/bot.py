from rtvi_plugins import LLM, Session, action, bot, converse


@bot(
    services={"llm": ["rules", "echo"]},
    config={"llm": {"messages": [{"role": "system", "content": "You are called Vera."}]}, "llm.echo": {"ending": "?"}},
    client=["llm.provider", "llm.name", "llm.ending", "bot:speak_plainly"],
)
async def desk(session: Session, /, llm: LLM) -> None:
    """Answers by rules, or repeats your words."""
    await converse(session, llm=llm)


@action(desk)
async def speak_plainly(session: Session, /) -> str:
    """Use the other provider from the next turn on."""
    await session.switch("llm", "echo")
    return session.providers["llm"]
