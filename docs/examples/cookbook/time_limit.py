from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.session import Say

SECONDS = 300


@bot(services={"llm": "rules"})
async def hotline(session: Session, /, llm: LLM) -> None:
    """Ends every call after five minutes."""

    def end() -> None:
        session.submit(Say("Your five minutes are over. Goodbye!", interruptible=False))
        session.close("The call reached its time limit.")

    session.call_after(SECONDS, end)
    await converse(session, llm=llm)
