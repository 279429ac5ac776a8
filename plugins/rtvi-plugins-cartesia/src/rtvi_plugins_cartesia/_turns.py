"""The turns that Cartesia finds itself, in a bot without a VAD."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from attrs import define

from rtvi_plugins.kinds import Audio, Pause, SpeechBegan, SpeechEnded, Transcript
from rtvi_plugins_vendor import malformed_answers

from ._service import PROVIDER, failure

__all__ = ("Turns", "UntilPause")


@define(eq=False)
class UntilPause(AsyncIterator[Audio | Pause]):
    """The audio until the microphone is switched off."""

    audio: AsyncIterator[Audio | Pause]
    is_paused: bool = False

    async def __anext__(self) -> Audio | Pause:
        item = await anext(self.audio)
        if isinstance(item, Pause):
            self.is_paused = True
            raise StopAsyncIteration
        return item


@define(eq=False)
class Turns:
    """Reads the messages of one connection."""

    _latest: str | None = None

    def read(self, message: Any) -> Iterator[Transcript | SpeechBegan | SpeechEnded]:
        """Yield the pieces of a message."""
        pieces: list[Transcript | SpeechBegan | SpeechEnded] = []
        with malformed_answers(PROVIDER):
            match message:
                case {"type": "turn.start"}:
                    self._latest = ""
                    pieces = [SpeechBegan()]
                case {"type": "turn.update" | "turn.eager_end", "transcript": str(text)}:
                    self._latest = text.strip()
                    pieces = [Transcript(self._latest, False)] if self._latest else []
                case {"type": "turn.end", "transcript": str(text)}:
                    self._latest = text.strip()
                    pieces = [*self.end(ends_turn=True)]
                case {"type": "error"}:
                    raise failure(message)
                case {"type": "turn.update" | "turn.eager_end" | "turn.end"}:
                    raise KeyError("transcript")
                case _:
                    pass
        yield from pieces

    def end(self, *, ends_turn: bool | None = None) -> Iterator[Transcript | SpeechEnded]:
        """End the turn that has begun."""
        text, self._latest = self._latest, None
        if text:
            yield Transcript(text, True, ends_turn=ends_turn)
        if text is not None:
            yield SpeechEnded()
