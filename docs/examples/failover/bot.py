from rtvi_plugins import LLM, Failover, Session, bot, converse


@bot(
    services={"llm": Failover("openai", "together")},
    config={
        "llm": {"messages": [{"role": "system", "content": "You answer the phone of a small hotel."}]},
        "llm.together": {"temperature": 0.3},
    },
    client=["llm.model", "llm.temperature"],
)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist who answers even if a vendor fails."""
    await converse(session, llm=llm)
