"""The bot that a browser talks to: a hotel's porter, who knows answers to twenty questions."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from difflib import SequenceMatcher
from typing import Any

from attrs import define

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

__all__ = ("ANSWERS", "LONG_STORY", "STORY", "hotel")

#: What is asked, in words that the stock dictionary of pocketsphinx knows, and what the porter answers.
ANSWERS: Mapping[str, str] = {
    "What time is breakfast in the morning?": "You can eat from seven until ten.",
    "Where can I leave my car?": "You can park behind the house.",
    "Do you have a room for two people?": "Yes, a double room is free tonight.",
    "How much is a room for one night?": "One night costs ninety dollars.",
    "Is there a train to the airport?": "Yes, you can go there by train.",
    "Can I bring my dog with me?": "Yes, we like dogs in our rooms.",
    "When do I have to leave the room?": "Please leave the room by eleven.",
    "Where is the swimming pool?": "The pool is on the top floor.",
    "May I have a second key?": "Here is another key for you.",
    "Please call a taxi for me.": "A taxi will come in five minutes.",
    "How far is it to the beach?": "The beach is a short walk away.",
    "Is there a bank near here?": "There is a bank across the street.",
    "The window in my room is broken.": "Somebody will repair the window today.",
    "The water in the shower is cold.": "We are sorry, the boiler is being fixed.",
    "Can you wake me at six?": "We will call you at six.",
    "I would like to stay another day.": "You may keep the room until Sunday.",
    "What is the name of this street?": "The name is old mill road.",
    "Where can we have dinner tonight?": "We will make you a meal at seven.",
    "Will it rain tomorrow?": "Tomorrow will be dry and sunny.",
    "Thank you very much for your help.": "It was a pleasure to help you.",
}

#: What has the porter talk for a long time, and what is said then; none of it is an answer to anything else.
LONG_STORY = "Please tell me everything about this hotel."
STORY = (
    "My uncle built it with green bricks.",
    "Nobody remembers what the doctor wrote.",
    "Children like to play in the snow.",
    "Some guests arrive with seven bicycles.",
    "She opened the letter and began to cry.",
    "The old clock has been wrong for years.",
    "Every window looks at a different garden.",
    "In winter the cook sings all day.",
)


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


@define
class Porter:
    """Gives the answer whose question is most similar to what was said."""

    politely: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream the answer, a piece for each sentence."""
        said = next((str(each["content"]) for each in reversed(request.messages) if each["role"] == "user"), "")
        asked = max((*ANSWERS, LONG_STORY), key=lambda question: _alike(question, said))
        if self.politely:
            yield Text(f"{self.politely} ")
        for sentence in STORY if asked == LONG_STORY else (ANSWERS[asked],):
            yield Text(f"{sentence} ")


@service("llm", "porter")
@asynccontextmanager
async def porter() -> AsyncGenerator[Porter]:
    """The porter, without a language model."""
    yield Porter()


@options(porter)
def manners(llm: Porter, /, politely: str = "") -> None:
    """Set the text before each answer."""
    llm.politely = politely


GRANTED = [
    "llm.politely",
    "llm.model",
    "llm.provider",
    "tts.voice",
    "llm:get_context",
    "llm:append_to_messages",
    "tts:say",
    "tts:interrupt",
    "bot:ring",
    "bot:repeat",
]
SERVICES: Mapping[str, Any] = {
    "stt": "pocketsphinx",
    "llm": ["porter", "rules", "openai"],  # without a key
    "tts": "espeak",
    "vad": "silero",
}


@bot(services=SERVICES, client=GRANTED, plugins=["webrtc"], public=True)
async def hotel(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """The porter of a small hotel."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad, greeting=os.environ.get("GREETING", ""))


@action(hotel)
async def repeat(text: str, times: int = 1) -> list[str]:
    """Returns a text several times."""
    return [text] * times


@action(hotel)
async def ring(times: int = 1) -> str:
    """Rings the bell."""
    return " ".join(["ding"] * times)
