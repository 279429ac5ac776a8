import json
from pathlib import Path

from rtvi_plugins import LLM, Session, bot, converse, hookimpl

KEYS = Path("keys.json")


@hookimpl
def find_key(provider: str, name: str) -> str | None:
    """Read a key such as {"openai": {"api_key": "…"}}."""
    keys: dict[str, dict[str, str]] = json.loads(KEYS.read_text("utf-8"))
    return keys.get(provider, {}).get(name)


@bot(services={"llm": "openai"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Uses a key from a file."""
    await converse(session, llm=llm)
