from rtvi_plugins import LLM, TTS, Session, action, bot, converse
from rtvi_plugins.session import Persona

RECEPTION = Persona(
    "You are Vera, the receptionist.", functions=["call_kitchen"], config={"tts": {"voice": "en-us+f3"}}
)
KITCHEN = Persona(
    "You are Otto, the cook. You take orders.",
    functions=["order", "call_reception"],
    config={"tts": {"voice": "en-gb"}},
    greeting="Kitchen, Otto speaking.",
)


@bot(
    services={"llm": "rules", "tts": "espeak"},
    functions=["bot:call_kitchen", "bot:call_reception", "bot:order"],
)
async def hotel(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A receptionist who connects you with the kitchen."""
    await session.hand_over(RECEPTION)
    await converse(session, llm=llm, tts=tts)


@action(hotel)
async def call_kitchen(session: Session, /) -> str:
    """Call the kitchen."""
    await session.hand_over(KITCHEN)
    return "The kitchen answers."


@action(hotel)
async def call_reception(session: Session, /) -> str:
    """Call the reception."""
    await session.hand_over(RECEPTION)
    return "The receptionist answers."


@action(hotel)
async def order(dish: str) -> str:
    """Order a dish."""
    return f"{dish} will be ready soon"
