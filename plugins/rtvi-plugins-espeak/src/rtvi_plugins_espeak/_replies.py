"""Hand the replies to a request from the task that reads them to the task that wants them."""

from __future__ import annotations

from collections import deque

import anyio
from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.helper_process import Frame
from rtvi_plugins.helper_worker import DONE, FAILED

from ._helper import PROVIDER

__all__ = ("Replies",)


@define(eq=False)
class Replies:
    """A bounded queue of the replies to one request. Cancel `scope` to stop the work on the request."""

    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    _frames: deque[Frame] = field(factory=deque[Frame], init=False)
    _failure: ProviderError | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)
    _changed: anyio.Event | None = field(default=None, init=False)

    def put(self, frame: Frame) -> None:
        """Add a frame."""
        self._frames.append(frame)
        self._wake()

    def end(self, failure: ProviderError | None = None) -> None:
        """Add nothing more. Without a frame DONE before it, this is a failure."""
        self._ended, self._failure = True, failure
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def next(self) -> Frame | None:
        """Return the next word or audio, or None after the last. Raise `ProviderError` if the request failed."""
        while not self._frames:
            if self._ended:
                raise self._failure or ProviderError(PROVIDER, "unavailable")
            self._changed = anyio.Event()
            await self._changed.wait()
        frame = self._frames.popleft()
        if frame.kind == FAILED:
            raise ProviderError(PROVIDER, "bad-request")
        return None if frame.kind == DONE else frame
