from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse


@bot(
    services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"},
    client=["tts.voice", "bot:book_room"],
)
async def receptionist(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A receptionist you can talk to."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad, greeting="Good day. Who are you?")


@action(receptionist)
async def book_room(session: Session, /, nights: int) -> str:
    """Book a room and return the number of the booking."""
    return f"A-{nights}"
