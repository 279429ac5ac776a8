from typing import Literal

from rtvi_plugins import LLM, TTS, Session, action, bot, converse


@bot(services={"llm": "rules", "tts": "espeak"}, functions=["bot:speak"], client=["bot:speak"])
async def guide(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Speaks several languages."""
    await converse(session, llm=llm, tts=tts)


@action(guide)
async def speak(session: Session, /, language: Literal["en-us", "de", "fr-fr"]) -> str:
    """Speak another language from the next answer on."""
    await session.configure("tts", voice=language)
    return f"The voice is {session.config('tts')['voice']}."
