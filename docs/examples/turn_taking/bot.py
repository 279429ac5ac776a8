from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.voice import TurnTaking, UserTurn

UNFINISHED = ("and", "or", "but", "because", "um", "the", "a", "my", "is", "for")


async def wait_for_the_rest(turn: UserTurn) -> float:
    """Wait two more seconds after a word such as "and"."""
    last = turn.text.rpartition(" ")[2].strip(".,?").lower()
    return 2.0 if last in UNFINISHED else 0.0


TAKING = TurnTaking(
    end_of_turn=wait_for_the_rest,
    interrupt_seconds=0.4,
    longest_turn_seconds=30,
    idle_seconds=10,
    idle_text="Take your time. I am here.",
)


@bot(
    services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"},
    config={"vad": {"params": {"stop_secs": 0.3, "confidence": 0.6}}},
    client=["vad.params"],
)
async def listener(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Answers quickly, and lets people finish."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad, taking=TAKING)
