"""The receptionist of a small hotel. You can talk or type to it, without a network or a key."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen
from attrs.validators import ge, le, min_len
from rtvi_plugins import LLM, STT, TTS, VAD, Doc, RequestError, Session, action, bot, converse

from hotel import FALLBACKS, FUNCTIONS, PRICE, SYNONYMS, TOPICS

INSTRUCTIONS = (
    "You are the receptionist of the Seaview, a small hotel with twelve rooms, and your name is Vera. "
    'Greet the guest with "Good day, this is the Seaview, Vera speaking. Would you like to book a room?" '
    'Whoever needs help is told: "Ask me about prices, breakfast or parking, or say: book a room for two nights." '
    "Answer in one or two short sentences. Before you book a room, repeat the nights, the name, the day and the price, "
    "and ask whether it is right. What you know about the hotel: "
) + " ".join(topic["answers"][0] for topic in TOPICS.values())


#: Words of guests, which Whisper then recognises more often.
VOCABULARY = "A guest asks a hotel about rooms, nights, prices, breakfast, parking, dogs, children and check-in."


@bot(
    services={
        "stt": ["whisper?", "pocketsphinx"],
        "llm": ["rules", "openai", "together"],
        "tts": ["piper?", "espeak"],
        "vad": "silero",
    },
    config={
        "llm": {"messages": [{"role": "system", "content": INSTRUCTIONS}], "run_on_config": True},
        "stt.whisper": {"prompt": VOCABULARY},
        "llm.rules": {"topics": TOPICS, "functions": FUNCTIONS, "fallbacks": FALLBACKS, "synonyms": SYNONYMS},
    },
    client=[
        *("llm.provider", "llm.model", "llm.temperature", "tts.voice", "tts.words_per_minute", "vad.params"),
        *("llm:append_to_messages", "llm:run", "tts:say", "tts:interrupt", "bot:book_room"),
    ],
    functions=["bot:book_room"],
)
async def receptionist(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A receptionist you can talk to."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@frozen
class Booking:
    """A booked room."""

    room: int
    name: str
    nights: int
    day: str
    euros: int


#: The rooms that are free. A restart frees all rooms.
free_rooms = [*range(1, 13)]


@action(receptionist)
async def book_room(
    session: Session,
    /,
    nights: Annotated[int, ge(1), le(14), Doc("The number of nights.")],
    name: Annotated[str, min_len(1), Doc("The name of the guest.")],
    day: Annotated[str, min_len(1), Doc("The day of arrival, such as Friday.")] = "today",
) -> Booking:
    """Book a room and return the booking."""
    if not free_rooms:
        raise RequestError("All twelve rooms are taken.")
    return Booking(room=free_rooms.pop(0), name=name, nights=nights, day=day, euros=PRICE * nights)
