from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.session import Say

NOTICE = Say("This call is recorded. Hang up if you do not want that.", interruptible=False)


@bot(services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"})
async def hotline(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Announces the recording first."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad, greeting=NOTICE)
