from rtvi_plugins import LLM, TTS, Session, bot, converse

PRONUNCIATION = {"RTVI": "R T V I", "SQL": "sequel"}


def pronounce(sentence: str) -> str:
    """Return the text to speak."""
    for written, spoken in PRONUNCIATION.items():
        sentence = sentence.replace(written, spoken)
    return sentence


@bot(services={"llm": "echo", "tts": "echo"})
async def teacher(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Pronounces abbreviations."""
    await converse(session, llm=llm, tts=tts, spoken=pronounce)
