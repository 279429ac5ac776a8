from rtvi_plugins import LLM, TTS, Session, action, bot, converse
from rtvi_plugins.voice import Filler


@bot(services={"llm": "rules", "tts": "echo"}, functions=["bot:find_order"])
async def shop(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Says that it is searching, if the search is slow."""
    await converse(session, llm=llm, tts=tts, filler=Filler("One moment, please.", after_seconds=0.8))


@action(shop)
async def find_order(number: int) -> str:
    """Find an order by its number."""
    return await search(number)


async def search(number: int) -> str:
    """Search. Send a request to your own system here."""
    return f"order {number} is on its way"
