import anyio
from rtvi_plugins import LLM, Session, action, bot, converse


@bot(services={"llm": "echo"}, client=["llm:append_to_messages", "bot:ask_the_kitchen"])
async def waiter(session: Session, /, llm: LLM) -> None:
    """Repeats your order."""
    await converse(session, llm=llm)


@action(waiter)
async def ask_the_kitchen(session: Session, /) -> str:
    """Ask the kitchen, which never answers."""
    await anyio.sleep_forever()
    return ""
