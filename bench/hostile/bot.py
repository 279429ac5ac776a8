"""The bots that are attacked: one of texts, and one that recognises speech."""

from __future__ import annotations

from attrs import frozen

from rtvi_plugins import LLM, STT, TTS, Session, action, bot, converse


@frozen
class Item:
    """One of very many arguments."""

    n: int


@bot(services={"llm": "echo"}, client=["llm.messages", "bot:echo", "bot:count"], public=True)
async def desk(session: Session, /, llm: LLM) -> None:
    """Answer requests."""


@action(desk)
async def echo(session: Session, /, text: str) -> str:
    """Return the text."""
    return text


@action(desk)
async def count(session: Session, /, items: list[Item]) -> int:
    """Return how many items there are."""
    return len(items)


@bot(services={"stt": "pocketsphinx", "llm": "echo", "tts": "echo"}, client=["bot:say_back"], public=True)
async def listener(session: Session, /, stt: STT, llm: LLM, tts: TTS) -> None:
    """Listen to whatever comes while the microphone is on."""
    await converse(session, stt=stt, llm=llm, tts=tts)


@action(listener)
async def say_back(session: Session, /, text: str) -> str:
    """Return the text."""
    return text
