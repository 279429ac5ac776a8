"""The messages that a client has received from a bot in another process. Tests can wait for the next ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import define, field

from .patience import PATIENCE

__all__ = ("Inbox", "Message")

Message: TypeAlias = dict[str, Any]


def _anything(data: Any) -> bool:
    return True


@define(eq=False)
class Inbox:
    """Messages in the order in which they arrived. A place is the number of messages before one."""

    received: list[Message] = field(factory=list[Message], init=False)
    gone: bool = field(default=False, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)

    def take(self, message: Message) -> None:
        """Add a message that has arrived."""
        self.received.append(message)
        self.notice()

    def end(self) -> None:
        """Note that no more messages will arrive."""
        self.gone = True
        self.notice()

    def notice(self) -> None:
        """Make those who wait check their conditions again."""
        self._news.set()

    async def find(self, type: str, fits: Callable[[Any], bool] = _anything, *, after: int = 0) -> int:
        """Return the place of the first message of a type whose data fits. Wait for it if necessary."""
        place = after

        def found() -> bool:
            nonlocal place
            while place < len(self.received):
                message = self.received[place]
                if message["type"] == type and fits(message.get("data")):
                    return True
                place += 1
            return False

        await self.until(found, type)
        return place

    async def find_within(self, seconds: float, type: str, *, after: int = 0) -> int | None:
        """Do the same as `find`, but return None if the message has not arrived in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self.find(type, after=after)
        except TimeoutError:
            return None

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until a condition is true, which a message, a frame or a change of state can make true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    if self.gone:
                        raise ConnectionError(f"the bot has gone, and this has not come: {what}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            types = [each["type"] for each in self.received[-20:]]
            error.add_note(f"this has not come: {what}; the last to come were {', '.join(types)}")
            raise

    def data_of(self, type: str, *, after: int = 0, before: int | None = None) -> list[Any]:
        """Return the data of all messages of a type between two places."""
        return [each.get("data") for each in self.received[after:before] if each["type"] == type]
