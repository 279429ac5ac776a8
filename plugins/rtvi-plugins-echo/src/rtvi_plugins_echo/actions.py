"""Actions for any bot that names the plugin `echo`, with which a client tests its connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from anyio.lowlevel import checkpoint
from attrs import frozen
from attrs.validators import ge, le

from rtvi_plugins import LLM, Session, action

__all__ = ("Everything", "count_to", "last_answer", "say_back", "say_back_types")


@action("bot")
async def say_back(session: Session, /, text: str, times: Annotated[int, ge(1), le(10)] = 1) -> str:
    """Repeat the text."""
    return " ".join([text] * times)


@frozen
class Everything:
    """A value of each RTVI type."""

    text: str
    whole: int
    number: float
    flag: bool
    choice: str
    items: Sequence[str]
    object: Mapping[str, Any]


@action("bot")
async def say_back_types(
    session: Session,
    /,
    text: str = "",
    whole: int = 0,
    number: float = 0.0,
    flag: bool = False,
    choice: Literal["red", "green", "blue"] = "red",
    items: Sequence[str] = (),
    object: Mapping[str, Any] | None = None,
) -> Everything:
    """Return an argument of each type, as the bot read it."""
    return Everything(text, whole, number, flag, choice, items, object or {})


@action("bot", long=True)
async def count_to(session: Session, /, number: Annotated[int, ge(1), le(1000)]) -> int:
    """Count, and report each number as progress."""
    for each in range(1, number + 1):
        session.progress({"counted": each})
        await checkpoint()
    return number


@action("llm")
async def last_answer(llm: LLM, session: Session, /) -> str:
    """Return what the bot said last, from the context; empty if it has said nothing."""
    said = (
        message.get("content") for message in reversed(session.context.messages) if message.get("role") == "assistant"
    )
    return next((text for text in said if isinstance(text, str) and text), "")
