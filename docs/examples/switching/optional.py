from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse


@bot(
    services={
        "stt": ["whisper?", "pocketsphinx"],
        "llm": "rules",
        "tts": ["piper?", "espeak"],
        "vad": "silero",
    },
    config={"tts.piper": {"speed": 1.1}},
    client=["tts.voice", "tts.speed"],
)
async def desk(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Listens with Whisper and speaks with Piper, or with what is there instead."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)
