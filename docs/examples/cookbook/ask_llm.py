from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.kinds import LLMRequest, Text


@bot(services={"llm": "rules"}, client=["bot:answer"])
async def assistant(session: Session, /, llm: LLM) -> None:
    """Answers questions outside of the conversation."""
    await converse(session, llm=llm)


@action(assistant)
async def answer(llm: LLM, /, question: str) -> str:
    """Answer a question without adding it to the conversation."""
    request = LLMRequest([{"role": "user", "content": question}], [])
    return "".join([piece.text async for piece in llm.respond(request) if isinstance(piece, Text)])
