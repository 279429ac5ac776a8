from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse


@bot(
    services={"stt": "morse", "llm": "echo", "tts": "morse", "vad": "morse"},
    config={"vad": {"params": {"start_secs": 0.03, "stop_secs": 1.0}}},
    client=["tts.pitch"],
)
async def telegraph(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Repeats your Morse code."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)
