"""The loaded models, which all sessions of the process share, and how many utterances are recognised at once.

A model needs some hundred MB and half a second to load, so it is kept until the process ends. CTranslate2 recognises
one utterance in each of its threads. A thread that works cannot be stopped: when its utterance is cancelled, nobody
waits for it, and its result is dropped.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock

import anyio
import anyio.to_thread
from attrs import define, field

from rtvi_plugins.helper_process import PerEventLoop

from ._models import find
from ._recogniser import Heard, Recogniser, load

__all__ = ("Recognitions", "loaded", "shared_recognitions")

_models: dict[str, Recogniser] = {}
_loading = Lock()


def loaded(model: str) -> Recogniser:
    """Return a model, and load it if it is the first time. It blocks. Raise `ModelNotFound`."""
    with _loading:
        if model not in _models:
            _models[model] = load(find(model))
        return _models[model]


@define(eq=False)
class Recognitions:
    """The recognitions of one event loop: one for each core at a time."""

    _limiter: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(os.cpu_count() or 1))

    async def final(self, recognise: Callable[[], Heard]) -> Heard:
        """Recognise when it is its turn. Cancellation does not wait for the thread."""
        return await anyio.to_thread.run_sync(recognise, abandon_on_cancel=True, limiter=self._limiter)

    async def interim(self, recognise: Callable[[], Heard]) -> Heard | None:
        """Recognise at once; return None if all threads are busy, because final transcripts are more important."""
        if not self._limiter.available_tokens:
            return None
        return await self.final(recognise)

    async def aclose(self) -> None:
        """Do nothing: no thread outlives its work, and models are kept."""


_shared = PerEventLoop("rtvi_plugins_whisper.recognitions", Recognitions)


@asynccontextmanager
async def shared_recognitions(model: str) -> AsyncGenerator[tuple[Recogniser, Recognitions]]:
    """Yield a model, and the recognitions of this event loop. Raise `ModelNotFound`."""
    recogniser = await anyio.to_thread.run_sync(partial(loaded, model), abandon_on_cancel=True)
    async with _shared.use() as recognitions:
        yield recogniser, recognitions
