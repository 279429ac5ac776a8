from typing import Annotated

from attrs.validators import ge, le
from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.session import Say


@bot(services={"llm": "rules"}, functions=["bot:remind"])
async def assistant(session: Session, /, llm: LLM) -> None:
    """Reminds the user of something."""
    await converse(session, llm=llm)


@action(assistant)
async def remind(session: Session, /, about: str, seconds: Annotated[int, ge(1), le(3600)]) -> str:
    """Remind the user of something in a number of seconds."""
    session.call_after(seconds, lambda: session.submit(Say(f"This is your reminder: {about}.")))
    return f"The reminder comes in {seconds} seconds."
