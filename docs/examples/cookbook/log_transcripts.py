import logging

from rtvi_plugins import LLM, Session, bot, converse, hookimpl

logger = logging.getLogger("transcripts")


@hookimpl
def transcript(session: Session, role: str, text: str) -> None:
    """Log a message of the conversation."""
    logger.info("%s %s: %s", session.id, role, text)


@bot(services={"llm": "rules"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Logs every conversation."""
    await converse(session, llm=llm)
