from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse


@bot(
    services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"},
    client=["tts:say", "tts:interrupt", "vad.params"],
)
async def receptionist(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A receptionist you can talk to."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad, greeting="Good day. Who are you?")
