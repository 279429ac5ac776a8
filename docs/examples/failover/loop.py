from rtvi_plugins import LLM, Failover, ProviderError, Session, bot
from rtvi_plugins.events import BotOutput
from rtvi_plugins.kinds import LLMRequest, Text
from rtvi_plugins.session import UserText


@bot(services={"llm": Failover("openai", "together")})
async def plain(session: Session, /, llm: LLM) -> None:
    """Answers in a loop of its own."""
    async for each in session.inputs():
        if isinstance(each, UserText):
            session.remember({"role": "user", "content": each.text})
            async with session.turn() as turn:
                text = await answer(session, llm, LLMRequest(turn.messages))
                session.emit(BotOutput(text, turn.number))
                turn.remember({"role": "assistant", "content": text})


async def answer(session: Session, llm: LLM, request: LLMRequest) -> str:
    """Return the answer of the first provider that works."""
    alternatives = session.alternatives(llm)
    await alternatives.choose()
    while True:
        text = ""
        try:
            async for piece in llm.respond(request):
                alternatives.answered()
                text += piece.text if isinstance(piece, Text) else ""
            return text
        except ProviderError as error:
            if not await alternatives.failed(error):
                session.fail(error)
                return "I am sorry."
