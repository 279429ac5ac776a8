"""What a request is answered with, on its way from the task that reads it to the one that wants it."""

from __future__ import annotations

from collections import deque

import anyio
from attrs import define, field

from rtvi_plugins.errors import ProviderError

from ._helper import PROVIDER
from ._protocol import Frame, Kind

__all__ = ("Answer",)


@define(eq=False)
class Answer:
    """Frames that have come, bounded by how much one request can make. `scope` ends the work for it."""

    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    _frames: deque[Frame] = field(factory=deque[Frame], init=False)
    _failure: ProviderError | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)
    _news: anyio.Event | None = field(default=None, init=False)

    def put(self, frame: Frame) -> None:
        """Add a frame."""
        self._frames.append(frame)
        self._tell()

    def end(self, failure: ProviderError | None = None) -> None:
        """Nothing more comes. Without DONE before it, that is a failure too."""
        self._ended, self._failure = True, failure
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def next(self) -> Frame | None:
        """The next word or audio; None after the last. `ProviderError` where it ends in another way."""
        while not self._frames:
            if self._ended:
                raise self._failure or ProviderError(PROVIDER, "unavailable")
            self._news = anyio.Event()
            await self._news.wait()
        frame = self._frames.popleft()
        if frame.kind is Kind.FAILED:
            raise ProviderError(PROVIDER, "bad-request")
        return None if frame.kind is Kind.DONE else frame
