from typing import Any, Literal

from rtvi_plugins import LLM, RequestError, Session, action, bot, converse


@bot(services={"llm": "rules"}, client=["bot:set_language", "bot:page_opened", "bot:get_history"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Handles three types of client messages."""
    await converse(session, llm=llm)


@action(receptionist, message="set-language")
async def set_language(session: Session, /, language: Literal["en", "de"]) -> str:
    """Answer in this language from now on."""
    if session.closing:
        raise RequestError("The call has ended.")
    names = {"en": "English", "de": "German"}
    session.remember({"role": "system", "content": f"Answer in {names[language]}."})
    return names[language]


@action(receptionist, message="page-opened")
async def page_opened(session: Session, /, page: Any) -> None:
    """Note which page the user sees. The page sends any JSON."""
    session.remember({"role": "system", "content": f"The user sees this page: {page}"})


@action(receptionist, message="get-history")
async def get_history(session: Session, /) -> list[Any]:
    """Return the conversation."""
    return [each.get("content") for each in session.context.messages]
