from attrs.validators import in_, le, max_len, optional
from rtvi_plugins import LLM, TTS, Grant, Session, bot, converse, roles


@bot(
    services={"llm": ["openai", "rules"], "tts": "echo"},
    client=[
        "llm.provider",  # clients may switch the provider
        "llm.model",  # clients may set the option to any valid value
        Grant("llm.temperature", optional(le(1.0))),  # clients may set it to at most 1.0
        Grant("llm.name", writable=False),  # clients may read it
        "llm:run",  # clients may call the action
        Grant("llm:append_to_messages", arguments={"messages": roles("user", "system")}),
        Grant("tts:say", arguments={"text": max_len(200), "interrupt": in_([False])}),
    ],
)
async def receptionist(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm, tts=tts)
