from rtvi_plugins import LLM, Session, action, bot, converse

# The LLM may call this function. The client runs it.
SHOW_MAP = {
    "name": "show_map",
    "description": "Shows a map of a place.",
    "parameters": {
        "type": "object",
        "properties": {
            "place": {"type": "string", "minLength": 1, "description": "The place to show."},
            "zoom": {"type": "integer", "minimum": 1, "maximum": 20},
        },
        "required": ["place"],
    },
}


@bot(services={"llm": "rules"}, config={"llm": {"tools": [SHOW_MAP]}}, client=["bot:show_rome"])
async def guide(session: Session, /, llm: LLM) -> None:
    """A guide. The client has a map."""
    await converse(session, llm=llm)


@action(guide)
async def show_rome(session: Session, /) -> str:
    """Show Rome."""
    shown: str = await session.call_function("show_map", {"place": "Rome"})
    return shown
