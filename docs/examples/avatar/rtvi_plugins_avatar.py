"""A kind of service that the framework does not know: a face. With a provider that draws it in text."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, Protocol, runtime_checkable

from rtvi_plugins import Kind, Session, action, options, service

Mood = Literal["happy", "sad", "calm"]


@runtime_checkable
class Avatar(Protocol):
    """What every provider of the kind implements."""

    async def show(self, mood: Mood, /) -> str:
        """Show a mood, and return where the picture is."""
        ...


AVATAR = Kind("avatar", Avatar)


@action(AVATAR)
async def show_mood(avatar: Avatar, session: Session, /, mood: Mood) -> str:
    """Shows a mood. Every provider of the kind has this action."""
    return await avatar.show(mood)


class Sketch:
    """A face of three characters."""

    eyes = ":"

    async def show(self, mood: Mood, /) -> str:
        """The face itself, where others give an address."""
        return self.eyes + {"happy": "-)", "sad": "-(", "calm": "-|"}[mood]


@service(AVATAR, "sketch")
@asynccontextmanager
async def sketch() -> AsyncGenerator[Sketch]:
    """A face of three characters."""
    yield Sketch()


@options(sketch)
def look(avatar: Sketch, /, eyes: Literal[":", ";", "8"] = ":") -> None:
    """How it looks."""
    avatar.eyes = eyes
