from rtvi_plugins import LLM, TTS, Session, action, bot, converse
from rtvi_plugins.session import Say

NOTICE = Say("This call is recorded.", interruptible=False)


@bot(services={"llm": "echo", "tts": "echo"}, client=["bot:transfer", "tts:interrupt"])
async def hotline(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Starts with a notice, and says goodbye before it hangs up."""
    await converse(session, llm=llm, tts=tts, greeting=NOTICE)


@action(hotline)
async def transfer(session: Session, /) -> None:
    """Say that a colleague will call, then end the call."""
    session.submit(Say("A colleague will call you back. Goodbye!", interruptible=False))
    session.close("A colleague takes over.")
