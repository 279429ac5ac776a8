from rtvi_plugins import LLM, Session, bot, converse


@bot(
    services={"llm": "rules"},
    config={
        "llm": {
            "messages": [{"role": "system", "content": 'You are called Vera. Greet the caller with "Good day!"'}],
            "run_on_config": True,
        }
    },
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Speaks first."""
    await converse(session, llm=llm)
