from typing import Annotated, Any, Literal

from attrs.validators import max_len
from rtvi_plugins import LLM, RequestError, Session, action, bot, converse


@bot(services={"llm": "rules"}, client=["bot:set_language", "bot:page_opened", "bot:note", "bot:get_conversation"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    """Handles four types of client messages."""
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
async def page_opened(session: Session, /, page: Literal["home", "rooms", "prices"]) -> None:
    """Note which page the user sees."""
    session.remember({"role": "system", "content": f"The user sees the page {page!r}."})


@action(receptionist, message="note")
async def note(session: Session, /, text: Annotated[str, max_len(200)]) -> None:
    """Take a note from the user, in the user's own words."""
    session.remember({"role": "user", "content": f"My note: {text}"})


@action(receptionist, message="get-conversation")
async def get_conversation(session: Session, /) -> list[Any]:
    """Return the conversation."""
    return [each.get("content") for each in session.context.messages]
