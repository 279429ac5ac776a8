from collections.abc import Sequence

from rtvi_plugins import LLM, TTS, Session, bot, converse, hookimpl
from rtvi_plugins.session import Say


@bot(services={"llm": "rules", "tts": "espeak"}, client=["tts.voice"])
async def guide(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Lets clients choose the voice."""
    await converse(session, llm=llm, tts=tts)


@hookimpl
def config_committed(session: Session, changed: Sequence[str]) -> None:
    """Speak with the new voice at once."""
    if "tts.voice" in changed:
        session.submit(Say("This is my new voice."))
