from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse


@bot(
    services={"stt": "pocketsphinx", "llm": ["rules", "openai"], "tts": "espeak", "vad": "silero"},
    client=["llm.model", "tts.voice", "bot:book_room"],
    functions=["bot:book_room"],
)
async def receptionist(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A receptionist you can talk to."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@action(receptionist)
async def book_room(session: Session, /, nights: int, name: str) -> str:
    """Book a room and return the booking."""
    return f"{nights} nights for {name}"
