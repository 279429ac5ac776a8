from rtvi_plugins import LLM, TTS, Session, bot, converse
from rtvi_plugins.voice import TextFilter

SPOKEN = TextFilter({"RTVI": "R T V I", "SQL": "sequel"}, language="en")


@bot(services={"llm": "echo", "tts": "echo"})
async def teacher(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Pronounces abbreviations and numbers."""
    await converse(session, llm=llm, tts=tts, spoken=SPOKEN)
