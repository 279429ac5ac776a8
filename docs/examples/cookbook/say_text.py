from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.session import Say


@bot(services={"llm": "rules"}, client=["bot:taxi_arrived"])
async def porter(session: Session, /, llm: LLM) -> None:
    """Announces taxis."""
    await converse(session, llm=llm)


@action(porter)
async def taxi_arrived(session: Session, /) -> None:
    """Announce the taxi."""
    session.submit(Say("Your taxi has arrived.", interruptible=False))
