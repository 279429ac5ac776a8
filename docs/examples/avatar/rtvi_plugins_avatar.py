"""A new kind of service, the avatar, and a provider that draws a face in text."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, Protocol, runtime_checkable

from rtvi_plugins import Kind, Session, action, options, service

Mood = Literal["happy", "sad", "calm"]


@runtime_checkable
class Avatar(Protocol):
    """Every provider of the kind has these methods."""

    async def show(self, mood: Mood, /) -> str:
        """Show a mood, and return the URL of the picture."""
        ...


AVATAR = Kind("avatar", Avatar)


@action(AVATAR)
async def show_mood(avatar: Avatar, session: Session, /, mood: Mood) -> str:
    """Show a mood. Every provider of the kind has this action."""
    return await avatar.show(mood)


class Sketch:
    """A face of three characters."""

    eyes = ":"

    async def show(self, mood: Mood, /) -> str:
        """Return the face itself instead of a URL."""
        return self.eyes + {"happy": "-)", "sad": "-(", "calm": "-|"}[mood]


@service(AVATAR, "sketch")
@asynccontextmanager
async def sketch() -> AsyncGenerator[Sketch]:
    """A face of three characters."""
    yield Sketch()


@options(sketch)
def look(avatar: Sketch, /, eyes: Literal[":", ";", "8"] = ":") -> None:
    """Set the eyes of the face."""
    avatar.eyes = eyes
