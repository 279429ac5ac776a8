"""A bridge: a voice for each tone in a list, which could be the files of a folder or another framework's plugins."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from rtvi_plugins import Doc, options, service
from rtvi_plugins.bridges import BridgedProvider
from rtvi_plugins.kinds import Audio, TTSRequest

TONES = {"low": 220, "high": 880}


class Tone:
    """Speaks a tone for each letter."""

    seconds = 0.1

    def __init__(self, hertz: float) -> None:
        self.hertz = hertz

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[Audio]:
        """Yield a tone as long as the text."""
        async for text in request.text:
            letter = array("h", (self._sample(n) for n in range(int(16_000 * self.seconds))))
            yield Audio(letter.tobytes() * len(text), 16_000)

    def _sample(self, n: int) -> int:
        return round(8000 * math.sin(math.tau * self.hertz * n / 16_000))


def declare(name: str) -> list[Callable[..., Any]]:
    """Declare one provider. What it needs is imported here."""

    @service("tts", f"tone-{name}")
    @asynccontextmanager
    async def tone() -> AsyncGenerator[Tone]:
        """A tone for each letter."""
        yield Tone(TONES[name])

    @options(tone)
    def configure(tts: Tone, /, seconds: Annotated[float, Doc("The length of a letter, in seconds.")] = 0.1) -> None:
        """How long a letter takes."""
        tts.seconds = seconds

    return [tone, configure]


def providers() -> Iterator[BridgedProvider]:
    """List the providers. The entry point names this function."""
    for name in TONES:
        yield BridgedProvider(f"tts.tone-{name}", partial(declare, name), note="A tone is not speech.")
