from typing import Literal

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.session import Persona
from rtvi_plugins.voice import TextFilter

LANGUAGES = {
    "en": Persona("Answer in English.", config={"stt": {"language": "en"}, "tts": {"voice": "en-gb"}}),
    "de": Persona("Antworte auf Deutsch.", config={"stt": {"language": "de"}, "tts": {"voice": "de"}}),
}
WAIT = {"en": "One moment, please.", "de": "Einen Moment, bitte."}
SORRY = {"en": "Sorry, please say that again.", "de": "Noch einmal, bitte."}


@bot(
    services={"stt": "whisper", "llm": "openai", "tts": "espeak", "vad": "silero"},
    config={"stt": {"language": "en"}, "tts": {"voice": "en-gb"}},
    functions=["bot:speak"],
    client=["bot:speak"],
)
async def guide(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Speaks English and German."""

    def language() -> str:
        return str(session.config("stt")["language"])

    await converse(
        session,
        stt=stt,
        llm=llm,
        tts=tts,
        vad=vad,
        spoken=TextFilter(language=language),
        filler=lambda: WAIT[language()],
        apology=lambda: SORRY[language()],
    )


@action(guide)
async def speak(session: Session, /, language: Literal["en", "de"]) -> str:
    """Speak this language from now on. Call it when the user speaks the other language or asks for it."""
    await session.hand_over(LANGUAGES[language])
    return "The conversation continues in this language."
