from attrs.validators import in_, le, max_len, optional
from rtvi_plugins import LLM, TTS, Grant, Session, bot, converse, roles


@bot(
    services={"llm": ["openai", "rules"], "tts": "echo"},
    client=[
        "llm.provider",  # may be switched
        "llm.model",  # may be set, to anything that the option itself accepts
        Grant("llm.temperature", optional(le(1.0))),  # may be set, within tighter bounds than the option's own
        Grant("llm.name", writable=False),  # may be read
        "llm:run",  # may be called
        Grant("llm:append_to_messages", arguments={"messages": roles("user", "system")}),
        Grant("tts:say", arguments={"text": max_len(200), "interrupt": in_([False])}),
    ],
)
async def receptionist(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm, tts=tts)
