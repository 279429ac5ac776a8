from rtvi_plugins import LLM, STT, TTS, Session, bot, converse


@bot(services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak"})
async def radio(session: Session, /, stt: STT, llm: LLM, tts: TTS) -> None:
    """Listens while the microphone is on. Answers when it is switched off."""
    await converse(session, stt=stt, llm=llm, tts=tts)
